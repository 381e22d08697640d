/* world: a mail internet in one program. See docs/WORLD.md. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "tests/world/persona.h"
#include "tests/world/world.h"

static const char HELP[] = "Usage: world --config FILE [OPTION]...\n"
			   "A DNS server and a farm of mail servers on loopback addresses, as FILE describes them.\n\n"
			   "  --config FILE       the description (see docs/WORLD.md and tests/world/demo.yaml)\n"
			   "  --dns-port N        instead of the port of every address in listen.dns; 0: any free one\n"
			   "  --smtp-port N       instead of listen.smtp_port; 0: any free one\n"
			   "  --control ADDRESS   instead of listen.control: 127.0.0.1:PORT, or the path of a socket\n"
			   "  --record FILE       instead of record\n"
			   "  --check             reads the description, says whether it is good, and ends\n"
			   "  --personas          lists the kinds of mail servers\n"
			   "  --help\n\n"
			   "Example: world --config tests/world/demo.yaml --smtp-port 0 --control 127.0.0.1:8025\n";

struct options {
	const char *config, *control, *record;
	int dns_port, smtp_port; /* -1: as described */
	bool check;
};

static struct world world;

static void turn_end(void *ctx)
{
	struct world *w = ctx;

	record_flush(w->record);
	smtpd_turn_end(w->smtpd);
	dnsd_turn_end(w->dnsd);
	control_turn_end(w->control);
}

static void on_signal(struct watch *w, uint32_t events)
{
	struct signalfd_siginfo info;

	(void)events;
	if (read(w->fd, &info, sizeof info) > 0)
		loop_stop(world.loop);
}

static int watch_signals(struct watch *w)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	*w = (struct watch){ on_signal, signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK) };
	return loop_watch(world.loop, w, EPOLLIN) ? 0 : -1;
}

static void raise_file_limit(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files))
		return;
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
}

static void list_personas(void)
{
	for (size_t i = 0; persona_at(i); i++)
		printf("%-18s %s\n", persona_at(i)->name, persona_at(i)->what);
}

static int port_of(const char *option, const char *text)
{
	char *end;
	long port = strtol(text, &end, 10);

	if (*text >= '0' && *text <= '9' && !*end && port <= 65535)
		return (int)port;
	fprintf(stderr, "world: --%s %s: a port from 0 to 65535 is expected\n", option, text);
	exit(2);
}

static void read_options(int argc, char **argv, struct options *o)
{
	static const struct option OPTION[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "dns-port", required_argument, NULL, 'd' },
		{ "smtp-port", required_argument, NULL, 's' },
		{ "control", required_argument, NULL, 'C' },
		{ "record", required_argument, NULL, 'r' },
		{ "check", no_argument, NULL, 'k' },
		{ "personas", no_argument, NULL, 'p' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	*o = (struct options){ .dns_port = -1, .smtp_port = -1 };
	while ((c = getopt_long(argc, argv, "", OPTION, NULL)) != -1) {
		switch (c) {
		case 'c': o->config = optarg; break;
		case 'd': o->dns_port = port_of("dns-port", optarg); break;
		case 's': o->smtp_port = port_of("smtp-port", optarg); break;
		case 'C': o->control = optarg; break;
		case 'r': o->record = optarg; break;
		case 'k': o->check = true; break;
		case 'p': list_personas(); exit(0);
		case 'h': fputs(HELP, stdout); exit(0);
		default: exit(2);
		}
	}
	if (!o->config || optind < argc) {
		fputs(HELP, stderr);
		exit(2);
	}
}

static void override(struct desc *d, const struct options *o)
{
	for (size_t i = 0; o->dns_port >= 0 && i < d->dns.n; i++) {
		char text[ADDR_TEXT_MAX];
		struct addr a;
		addr_parse_port(&a, d->dns.item[i]);
		a.port = (uint16_t)o->dns_port;
		addr_text(&a, text);
		d->dns.item[i] = arena_text(&d->arena, text, strlen(text));
	}
	if (o->smtp_port >= 0)
		d->smtp_port = o->smtp_port;
	if (o->control)
		d->control = o->control;
	if (o->record)
		d->record = o->record;
}

static bool start(struct world *w)
{
	w->record = record_open(w->desc->record);
	if (!w->record) {
		fprintf(stderr, "world: %s cannot be written: %s\n", w->desc->record, strerror(errno));
		return false;
	}
	counts_init(&w->counts, w->desc->hosts);
	return (w->dnsd = dnsd_start(w)) && (w->smtpd = smtpd_start(w)) && (w->control = control_start(w));
}

static void stop(struct world *w)
{
	if (w->control)
		control_stop(w->control);
	if (w->smtpd)
		smtpd_stop(w->smtpd);
	if (w->dnsd)
		dnsd_stop(w->dnsd);
	if (w->record) {
		counts_free(&w->counts);
		record_close(w->record);
	}
	loop_free(w->loop);
}

static void say_ready(struct world *w)
{
	struct buf dns = BUF_INIT(65536), control = BUF_INIT(4096);

	dnsd_addresses(w->dnsd, &dns);
	control_address(w->control, &control);
	printf("world ready dns=%s smtp_port=%d control=%s\n", buf_str(&dns), smtpd_port(w->smtpd), buf_str(&control));
	fflush(stdout);
	buf_free(&dns);
	buf_free(&control);
}

int main(int argc, char **argv)
{
	struct options o;
	struct watch signals;
	struct desc *d;
	char error[2048];
	int status = 1;

	read_options(argc, argv, &o);
	d = desc_read_file(o.config, error, sizeof error);
	if (!d) {
		fprintf(stderr, "%s\n", error);
		return 2;
	}
	if (o.check) {
		printf("%s is good: %zu hosts, %u names\n", o.config, d->hosts, HASH_COUNT(d->names));
		desc_free(d);
		return 0;
	}
	override(d, &o);
	raise_file_limit();
	world.desc = d;
	world.loop = loop_new(turn_end, &world);
	if (!watch_signals(&signals) && start(&world)) {
		say_ready(&world);
		loop_run(world.loop);
		status = 0;
	}
	stop(&world);
	desc_free(d);
	return status;
}
