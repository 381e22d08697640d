/* A configuration file. What is taken is within its bounds; what is not is named by FILE:LINE in one line. */
#include <string.h>

#include "server/config/config.h"
#include "tests/fuzz/fuzz.h"

#define NAME "fuzz.yaml"

static void check(const struct config *c)
{
	MUST(c->listen_grpc[0] && c->store_path[0] && c->store_hmac_key[0] && c->mail_from.local[0]);
	MUST(c->n_dns_servers <= CONFIG_DNS_SERVERS && c->n_allow_networks <= CONFIG_NETWORKS);
	MUST(c->n_sources >= 1 && c->n_sources <= CONFIG_SOURCES && c->n_operators <= CONFIG_OPERATORS);
	MUST(c->shards >= 1 && c->shards <= CONFIG_SHARDS && c->probe_port);
	MUST(c->timeouts.connect_ms > 0 && c->timeouts.banner_ms > 0 && c->timeouts.reply_ms > 0 &&
		c->timeouts.session_ms > 0);
	MUST(c->facts.yes_ms >= 0 && c->facts.no_ms >= 0 && c->facts.mailbox_ms >= 0);
	for (size_t i = 0; i < c->n_sources; i++)
		MUST(c->sources[i].name[0] && !has_control(c->sources[i].name, strlen(c->sources[i].name)));
	for (size_t i = 0; i <= c->n_operators; i++) {
		const char *name = i < c->n_operators ? c->operators[i].name : "nobody.example";
		struct config_courtesy caps = config_courtesy(c, name);
		MUST(*name && caps.connections && caps.recipients && caps.unknown_per_session);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct config *c = NULL;
	struct buf why = BUF_INIT(8192);
	err_t err = config_load_text(NAME, (const char *)data, len, &c, &why);
	if (err) {
		MUST(err == ERR_INVALID && !c);
		MUST(why.len > sizeof NAME && memcmp(why.data, NAME ":", sizeof NAME) == 0);
		MUST(!has_control(why.data, why.len));
	} else {
		MUST(c && !why.len);
		check(c);
		config_free(c);
	}
	buf_free(&why);
	return 0;
}
