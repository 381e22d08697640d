#include "server/config/config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/config/loader.h"

static unsigned cores_less_one(void)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	if (cores < 2)
		return 1;
	return cores - 1 > CONFIG_SHARDS ? CONFIG_SHARDS : (unsigned)(cores - 1);
}

static void set_defaults(struct config *c)
{
	static const char LISTEN[] = "127.0.0.1:50051";
	memcpy(c->listen_grpc, LISTEN, sizeof LISTEN);
	c->probe_port = 25;
	c->shards = cores_less_one();
	c->ip.connections = 2;
	c->defaults = (struct config_courtesy){ .connections = 2, .recipients = 10, .unknown_per_session = 5 };
	c->timeouts.connect_ms = 30 * 1000;
	c->timeouts.banner_ms = 60 * 1000;
	c->timeouts.reply_ms = 60 * 1000;
	c->timeouts.session_ms = 5 * 60 * 1000;
	c->facts.yes_ms = c->facts.no_ms = c->facts.mailbox_ms = 7LL * 24 * 3600 * 1000;
	c->log_level = LOG_INFO;
}

/* The machine's name goes into EHLO, so it must be a name: the kernel takes any bytes. */
static bool host_name(char out[DOMAIN_SIZE])
{
	if (gethostname(out, DOMAIN_SIZE) != 0)
		return false;
	out[DOMAIN_SIZE - 1] = 0;
	return out[0] && strspn(out, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.") == strlen(out);
}

/* What is left out and follows from the rest or from the machine. */
static err_t derive(const char *name, struct config *c, struct buf *why)
{
	if (!c->store_hmac_key[0]) {
		int n = snprintf(c->store_hmac_key, sizeof c->store_hmac_key, "%s/hmac.key", c->store_path);
		if (n < 0 || (size_t)n >= sizeof c->store_hmac_key) {
			buf_printf(why, "%s:1: store.path is too long for a file in it; set store.hmac_key", name);
			return ERR_INVALID;
		}
	}
	if (!c->n_sources) {
		c->n_sources = 1;
		c->sources[0].any = true;
		if (!host_name(c->sources[0].name)) {
			buf_printf(why,
				"%s:1: probe.sources is missing and the machine's host name is no domain name; "
				"give probe.sources with address and name",
				name);
			return ERR_INVALID;
		}
	}
	return ERR_OK;
}

err_t config_load_text(const char *name, const char *text, size_t n, struct config **out, struct buf *why)
{
	if (n > CONFIG_FILE_MAX) {
		buf_printf(why, "%s:1: the file is too large; 1 MiB is allowed", name);
		return ERR_INVALID;
	}
	struct config *c = calloc(1, sizeof *c);
	if (!c)
		return ERR_NOMEM;
	set_defaults(c);
	err_t err = config_walk(name, text, n, c, why);
	if (!err)
		err = derive(name, c, why);
	if (err) {
		config_free(c);
		return err;
	}
	*out = c;
	return ERR_OK;
}

/* The whole file, or its first CONFIG_FILE_MAX + 1 bytes; errno on ERR_IO. */
static err_t read_file(const char *file, struct buf *content)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return ERR_IO;
	ssize_t got = 1;
	while (got > 0 && content->len < content->max) {
		size_t room = content->max - content->len;
		buf_reserve(content, room < 65536 ? room : 65536);
		if (content->err)
			break;
		got = read(fd, content->data + content->len, content->cap - content->len);
		if (got > 0)
			content->len += (size_t)got;
		else if (got < 0 && errno == EINTR)
			got = 1;
	}
	int saved = errno;
	close(fd);
	errno = saved;
	return content->err ? content->err : got < 0 ? ERR_IO : ERR_OK;
}

err_t config_load(const char *file, struct config **out, struct buf *why)
{
	struct buf content = BUF_INIT(CONFIG_FILE_MAX + 1);
	err_t err = read_file(file, &content);
	if (err == ERR_IO)
		buf_printf(why, "%s: cannot be read: %s", file, strerror(errno));
	else if (err)
		buf_printf(why, "%s: %s", file, err_text(err));
	else
		err = config_load_text(file, content.len ? (const char *)content.data : "", content.len, out, why);
	buf_free(&content);
	return err;
}

void config_free(struct config *c)
{
	free(c);
}

struct config_courtesy config_courtesy(const struct config *c, const char *operator_name)
{
	struct config_courtesy caps = c->defaults;
	for (size_t i = 0; i < c->n_operators; i++) {
		const struct config_courtesy *own = &c->operators[i];
		if (strcmp(own->name, operator_name) != 0)
			continue;
		if (own->connections)
			caps.connections = own->connections;
		if (own->recipients)
			caps.recipients = own->recipients;
		if (own->unknown_per_session)
			caps.unknown_per_session = own->unknown_per_session;
		memcpy(caps.name, own->name, sizeof caps.name);
	}
	return caps;
}
