#include "server/dns/channel.h"

#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "server/base/log.h"

enum { DEFAULT_TIMEOUT_MS = 3000, DEFAULT_TRIES = 3, EDNS_SIZE = 1232, RECEIVE_BUFFER = 1 << 20 };

struct socket_watch {
	LIST_ENTRY(socket_watch) entry;
	struct channel *channel;
	ares_socket_t fd;
	struct watch *watch;
};

static void on_ready(void *ctx, unsigned events)
{
	const struct socket_watch *s = ctx;
	ares_socket_t fd = s->fd; /* s may go within */
	ares_process_fd(s->channel->ares, (events & WATCH_READ) ? fd : ARES_SOCKET_BAD,
		(events & WATCH_WRITE) ? fd : ARES_SOCKET_BAD);
}

static struct socket_watch *watch_socket(struct channel *channel, ares_socket_t fd)
{
	struct socket_watch *s = malloc(sizeof *s);
	if (!s || watch_open(channel->loop, fd, on_ready, s, &s->watch)) {
		log_warn("event=dns_socket_unwatched");
		channel->missed = true;
		free(s);
		return NULL;
	}
	s->channel = channel;
	s->fd = fd;
	LIST_INSERT_HEAD(&channel->sockets, s, entry);
	return s;
}

/* c-ares tells what it wants of a socket; nothing at all: it is about to close it. */
static void on_socket_state(void *ctx, ares_socket_t fd, int readable, int writable)
{
	struct channel *channel = ctx;
	struct socket_watch *s;
	LIST_FOREACH(s, &channel->sockets, entry)
	if (s->fd == fd)
		break;
	if (!readable && !writable) {
		if (s) {
			LIST_REMOVE(s, entry);
			watch_close(s->watch);
			free(s);
		}
		return;
	}
	if (s || (s = watch_socket(channel, fd)))
		watch_want(s->watch, (readable ? WATCH_READ : 0) | (writable ? WATCH_WRITE : 0));
}

static void watch_missed(struct channel *channel)
{
	ares_socket_t fd[ARES_GETSOCK_MAXNUM];
	unsigned wanted = (unsigned)ares_getsock(channel->ares, fd, ARES_GETSOCK_MAXNUM);
	channel->missed = false;
	for (unsigned i = 0; i < ARES_GETSOCK_MAXNUM; i++) { /* c-ares' macros for this shift into the sign */
		int readable = wanted >> i & 1, writable = wanted >> (i + ARES_GETSOCK_MAXNUM) & 1;
		if (readable || writable)
			on_socket_state(channel, fd[i], readable, writable);
	}
}

void channel_tick(struct channel *channel)
{
	if (channel->missed)
		watch_missed(channel);
	ares_process_fd(channel->ares, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
}

static err_t from_ares(int status)
{
	return status == ARES_SUCCESS ? ERR_OK : status == ARES_ENOMEM ? ERR_NOMEM : ERR_INVALID;
}

static err_t set_servers(ares_channel ares, const struct resolver_options *o)
{
	struct ares_addr_port_node *nodes = calloc(o->server_count, sizeof *nodes);
	if (!nodes)
		return ERR_NOMEM;
	for (size_t i = 0; i < o->server_count; i++) {
		const struct resolver_server *s = &o->servers[i];
		nodes[i].next = i + 1 < o->server_count ? &nodes[i + 1] : NULL;
		nodes[i].family = s->ip.v6 ? AF_INET6 : AF_INET;
		nodes[i].udp_port = nodes[i].tcp_port = s->port;
		memcpy(&nodes[i].addr, s->ip.bytes, s->ip.v6 ? 16 : 4);
	}
	int status = ares_set_servers_ports(ares, nodes);
	free(nodes);
	return from_ares(status);
}

static void init_library(void)
{
	if (ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS)
		log_error("event=dns_library_init_failed");
}

/* EDNS is on. One FORMERR without an OPT record turns it off for the whole channel (c-ares 1.18.1), for good: answers
 * above 512 bytes then cost a TCP connection. */
err_t channel_open(struct channel *channel, struct loop *loop, const struct resolver_options *o, bool tcp)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	pthread_once(&once, init_library);
	channel->loop = loop;
	channel->missed = false;
	LIST_INIT(&channel->sockets);
	struct ares_options options = {
		.flags = ARES_FLAG_EDNS | ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES |
			 (tcp ? ARES_FLAG_USEVC : ARES_FLAG_IGNTC),
		.timeout = o->timeout_ms > 0 ? o->timeout_ms : DEFAULT_TIMEOUT_MS,
		.tries = o->tries > 0 ? o->tries : DEFAULT_TRIES,
		.lookups = "b",
		.ednspsz = EDNS_SIZE,
		.socket_receive_buffer_size = RECEIVE_BUFFER,
		.sock_state_cb = on_socket_state,
		.sock_state_cb_data = channel,
	};
	int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_LOOKUPS | ARES_OPT_EDNSPSZ |
		   ARES_OPT_SOCK_RCVBUF | ARES_OPT_SOCK_STATE_CB | ARES_OPT_ROTATE | ARES_OPT_DOMAINS;
	err_t err = from_ares(ares_init_options(&channel->ares, &options, mask));
	if (err || !o->server_count)
		return err;
	err = set_servers(channel->ares, o);
	if (err)
		ares_destroy(channel->ares);
	return err;
}
