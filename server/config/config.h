#pragma once
/* The configuration: read once from a YAML file, then const and shared by all threads until the end of the program. All
 * plain values. Every key stands in the table of server/config/keys.c; a key that is not there is an error. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/address/address.h"
#include "server/base/buf.h"
#include "server/base/err.h"
#include "server/base/ip.h"
#include "server/base/log.h"

#define CONFIG_FILE_MAX (1024 * 1024) /* bytes */
#define CONFIG_PATH_MAX 1024	      /* bytes of a path, with the NUL */
#define CONFIG_LISTEN_MAX 128
#define CONFIG_DNS_SERVERS 16
#define CONFIG_SOURCES 64
#define CONFIG_NETWORKS 64
#define CONFIG_OPERATORS 256
#define CONFIG_SHARDS 64

struct config_endpoint {
	struct ip ip;
	uint16_t port;
};

/* One of our own addresses with the name it gives in EHLO. */
struct config_source {
	bool any; /* no address of our choice: the system picks; ip is unset */
	struct ip ip;
	char name[DOMAIN_SIZE];
};

/* Caps for one operator. In config.operators a 0 means: as in the defaults (config_courtesy() resolves it). */
struct config_courtesy {
	char name[DOMAIN_SIZE];	      /* the operator's, lower case; "" in the defaults */
	unsigned connections;	      /* at once */
	unsigned recipients;	      /* RCPTs in one transaction */
	unsigned unknown_per_session; /* refused recipients in one session */
};

enum config_tls {
	CONFIG_TLS_OPPORTUNISTIC, /* STARTTLS wherever it is offered; in clear where it fails */
	CONFIG_TLS_WHEN_REQUIRED, /* only where the server demands it */
	CONFIG_TLS_NEVER,
};

struct config {
	/* listen.grpc, as gRPC takes it: "127.0.0.1:50051", "[::1]:50051" or "unix:/path"; always local */
	char listen_grpc[CONFIG_LISTEN_MAX];

	char store_path[CONFIG_PATH_MAX];
	char store_hmac_key[CONFIG_PATH_MAX]; /* a file */

	struct config_endpoint dns_servers[CONFIG_DNS_SERVERS];
	size_t n_dns_servers; /* 0: the system's */

	uint16_t probe_port;
	struct config_source sources[CONFIG_SOURCES];
	size_t n_sources; /* at least 1 */
	struct address mail_from;
	struct ip_net allow_networks[CONFIG_NETWORKS];
	size_t n_allow_networks;
	unsigned shards;
	enum config_tls tls;

	struct {
		unsigned connections; /* at once, over all operators */
	} ip;			      /* what one destination address (a /64 of IPv6) gets */
	struct config_courtesy defaults;
	struct config_courtesy operators[CONFIG_OPERATORS];
	size_t n_operators;

	struct {
		int64_t connect_ms, banner_ms, reply_ms, session_ms;
	} timeouts;
	struct {
		int64_t yes_ms, no_ms, mailbox_ms;
	} facts; /* how long a catch-all "yes", a "no" and a mailbox's verdict are remembered */

	enum log_level log_level;
};

/* On an error *why gets one line, "FILE:LINE: what is wrong; what is allowed", and *out stays as it was. ERR_INVALID:
 * the content; ERR_IO: the file cannot be read. config_free() ends it. */
MUST_CHECK err_t config_load(const char *file, struct config **out, struct buf *why);
/* The same from memory; name stands for FILE. */
MUST_CHECK err_t config_load_text(const char *name, const char *text, size_t n, struct config **out, struct buf *why);
void config_free(struct config *);

/* The caps for an operator, nothing left to inherit. */
struct config_courtesy config_courtesy(const struct config *, const char *operator_name);
