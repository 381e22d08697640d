/* The table of keys: the one place that says what may be configured, within which bounds. */
#include "server/config/loader.h"

#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#define MS 1LL
#define SECOND (1000 * MS)
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)

/* Decimal digits alone, no sign, no leading zero; false also beyond 15 digits. */
static bool read_number(const char *text, size_t n, int64_t *out)
{
	int64_t value = 0;
	if (n < 1 || n > 15 || (n > 1 && text[0] == '0'))
		return false;
	for (size_t i = 0; i < n; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		value = value * 10 + (text[i] - '0');
	}
	*out = value;
	return true;
}

static const char *set_number(const struct key *key, const struct scalar *s, unsigned *out)
{
	int64_t value;
	if (!s->plain || !read_number(s->text, s->n, &value))
		return "not a whole number";
	if (value < key->min || value > key->max)
		return "out of bounds";
	*out = (unsigned)value;
	return NULL;
}

static const char *set_unsigned(const struct key *key, const struct scalar *s, void *field)
{
	return set_number(key, s, field);
}

static const char *set_port(const struct key *key, const struct scalar *s, void *field)
{
	unsigned value;
	const char *wrong = set_number(key, s, &value);
	if (!wrong)
		*(uint16_t *)field = (uint16_t)value;
	return wrong;
}

static const struct {
	const char *name;
	int64_t ms;
} UNITS[] = { { "d", DAY }, { "h", HOUR }, { "m", MINUTE }, { "s", SECOND }, { "ms", MS } };
#define UNITS_N (sizeof UNITS / sizeof *UNITS)

static const char *set_duration(const struct key *key, const struct scalar *s, void *field)
{
	size_t digits = strspn(s->text, "0123456789");
	int64_t value;
	if (!read_number(s->text, digits, &value))
		return "not a duration";
	for (size_t i = 0; i < UNITS_N; i++) {
		if (strcmp(s->text + digits, UNITS[i].name) != 0)
			continue;
		if (value > key->max / UNITS[i].ms || value * UNITS[i].ms < key->min)
			return "out of bounds";
		*(int64_t *)field = value * UNITS[i].ms;
		return NULL;
	}
	return digits == s->n ? "the unit is missing" : "not a duration";
}

static const char *set_path(const struct key *key, const struct scalar *s, void *field)
{
	(void)key;
	if (!s->n)
		return "empty";
	if (s->n >= CONFIG_PATH_MAX)
		return "too long";
	memcpy(field, s->text, s->n + 1);
	return NULL;
}

/* "a.b.c.d", "a.b.c.d:port", "v6", "[v6]" or "[v6]:port". Without a port *port stays as it was. */
static bool read_endpoint(const char *text, struct ip *ip, uint16_t *port)
{
	char address[IP_TEXT_MAX];
	const char *end, *colon = strchr(text, ':');
	bool brackets = text[0] == '[';
	if (brackets)
		end = strchr(++text, ']');
	else if (colon && strchr(colon + 1, ':')) /* bare IPv6 */
		end = text + strlen(text);
	else
		end = colon ? colon : text + strlen(text);
	if (!end || (size_t)(end - text) >= sizeof address)
		return false;
	memcpy(address, text, (size_t)(end - text));
	address[end - text] = 0;
	if (!ip_parse(address, ip) || (brackets && !ip->v6))
		return false;
	end += brackets;
	int64_t number;
	if (!*end)
		return true;
	if (*end != ':' || !read_number(end + 1, strlen(end + 1), &number) || number < 1 || number > 65535)
		return false;
	*port = (uint16_t)number;
	return true;
}

static const char *set_listen_unix(const char *text, char *out)
{
	struct sockaddr_un room;
	size_t n = strlen(text);
	if (text[5] != '/')
		return "a unix socket without an absolute path";
	if (n - 5 >= sizeof room.sun_path)
		return "too long a path for a unix socket";
	memcpy(out, text, n + 1);
	return NULL;
}

static const char *set_listen(const struct key *key, const struct scalar *s, void *field)
{
	static const char LOCALHOST[] = "localhost:";
	char text[CONFIG_LISTEN_MAX], shown[IP_TEXT_MAX];
	struct ip ip;
	uint16_t port = 0;
	struct buf out = BUF_INIT(CONFIG_LISTEN_MAX);
	(void)key;
	if (s->n >= sizeof text - sizeof "127.0.0.1:")
		return "too long";
	if (strncmp(s->text, "unix:", 5) == 0)
		return set_listen_unix(s->text, field);
	/* By name it would be somebody else's resolver that decides how far this is open. */
	bool localhost = strncmp(s->text, LOCALHOST, sizeof LOCALHOST - 1) == 0;
	const char *rest = s->text + (localhost ? sizeof LOCALHOST - 1 : 0);
	size_t prefix = localhost ? sizeof "127.0.0.1:" - 1 : 0;
	memcpy(text, "127.0.0.1:", prefix);
	memcpy(text + prefix, rest, strlen(rest) + 1);
	if (!read_endpoint(text, &ip, &port))
		return "no address to listen on";
	if (!port)
		return "the port is missing";
	static const uint8_t LOOPBACK6[16] = { [15] = 1 };
	if (ip.v6 ? memcmp(ip.bytes, LOOPBACK6, 16) != 0 : ip.bytes[0] != 127)
		return "this would be open to other machines, and there is no authentication yet";
	buf_printf(&out, ip.v6 ? "[%s]:%u" : "%s:%u", ip_text(&ip, shown), (unsigned)port);
	memcpy(field, buf_str(&out), out.len + 1);
	const char *wrong = out.err ? "out of memory" : NULL;
	buf_free(&out);
	return wrong;
}

static const char *set_dns_server(const struct key *key, const struct scalar *s, void *field)
{
	struct config_endpoint endpoint = { .port = 53 };
	(void)key;
	if (!read_endpoint(s->text, &endpoint.ip, &endpoint.port))
		return "no IP address with an optional port";
	memcpy(field, &endpoint, sizeof endpoint);
	return NULL;
}

static const char *set_source_address(const struct key *key, const struct scalar *s, void *field)
{
	struct ip ip, any = { .v6 = strchr(s->text, ':') != NULL };
	(void)key;
	if (!ip_parse(s->text, &ip))
		return "not an IP address";
	if (ip_equal(&ip, &any))
		return "the unspecified address";
	memcpy(field, &ip, sizeof ip);
	return NULL;
}

static const char *set_domain(const struct key *key, const struct scalar *s, void *field)
{
	const char *why;
	(void)key;
	err_t err = domain_parse(s->text, s->n, field, &why);
	return err == ERR_INVALID ? why : err ? err_text(err) : NULL;
}

static const char *set_mailbox(const struct key *key, const struct scalar *s, void *field)
{
	const char *why;
	struct address address;
	(void)key;
	err_t err = address_parse(s->text, s->n, &address, &why);
	if (err)
		return err == ERR_INVALID ? why : err_text(err);
	if (address.utf8) /* not every server could be asked with it */
		return "the local part must be ASCII";
	memcpy(field, &address, sizeof address);
	return NULL;
}

static const char *set_network(const struct key *key, const struct scalar *s, void *field)
{
	(void)key;
	return ip_net_parse(s->text, field) ? NULL : "not a network";
}

static const char *set_tls(const struct key *key, const struct scalar *s, void *field)
{
	static const char *const POLICIES[] = {
		[CONFIG_TLS_OPPORTUNISTIC] = "opportunistic",
		[CONFIG_TLS_WHEN_REQUIRED] = "when-required",
		[CONFIG_TLS_NEVER] = "never",
	};
	(void)key;
	for (int i = CONFIG_TLS_OPPORTUNISTIC; i <= CONFIG_TLS_NEVER; i++) {
		if (strcmp(s->text, POLICIES[i]) == 0) {
			*(enum config_tls *)field = (enum config_tls)i;
			return NULL;
		}
	}
	return "no policy for TLS";
}

static const char *set_level(const struct key *key, const struct scalar *s, void *field)
{
	static const char *const LEVELS[] = { "debug", "info", "warn", "error" };
	(void)key;
	for (int i = 0; i < 4; i++) {
		if (strcmp(s->text, LEVELS[i]) == 0) {
			*(enum log_level *)field = (enum log_level)(LOG_DEBUG + i);
			return NULL;
		}
	}
	return "no log level";
}

#define IN(field) offsetof(struct config, field)
#define IN_SOURCE(field) offsetof(struct config_source, field)
#define IN_COURTESY(field) offsetof(struct config_courtesy, field)
#define NUMBER(path, at, least, most)                                                                                  \
	{                                                                                                              \
		path, set_unsigned, at, least, most, NULL, false                                                       \
	}
#define DURATION(path, at, least, most)                                                                                \
	{                                                                                                              \
		path, set_duration, at, least, most, NULL, false                                                       \
	}
#define TEXT(path, set, at, required, allowed)                                                                         \
	{                                                                                                              \
		path, set, at, 0, 0, allowed, required                                                                 \
	}

const struct key CONFIG_KEYS[] = {
	TEXT("listen.grpc", set_listen, IN(listen_grpc), false,
		"HOST:PORT or [IPv6]:PORT with a loopback address, or unix:/PATH"),
	TEXT("store.path", set_path, IN(store_path), true, "the path of a folder"),
	TEXT("store.hmac_key", set_path, IN(store_hmac_key), false, "the path of a file"),
	TEXT("dns.servers.[]", set_dns_server, 0, false, "IP, IP:PORT or [IPv6]:PORT"),
	{ "probe.port", set_port, IN(probe_port), 1, 65535, NULL, false },
	TEXT("probe.sources.[].address", set_source_address, IN_SOURCE(ip), true,
		"an IP address of this machine (without probe.sources the system chooses)"),
	TEXT("probe.sources.[].name", set_domain, IN_SOURCE(name), true, "a full domain name, for EHLO"),
	TEXT("probe.mail_from", set_mailbox, IN(mail_from), true, "an email address, for MAIL FROM"),
	TEXT("probe.allow_networks.[]", set_network, 0, false,
		"a network such as 127.0.0.0/8 or 2001:db8::/32, no bit set behind the prefix"),
	TEXT("probe.tls", set_tls, IN(tls), false, "opportunistic, when-required or never"),
	NUMBER("probe.shards", IN(shards), 1, CONFIG_SHARDS),
	NUMBER("courtesy.defaults.connections", IN(defaults.connections), 1, 100),
	NUMBER("courtesy.defaults.recipients", IN(defaults.recipients), 1, 100),
	NUMBER("courtesy.defaults.unknown_per_session", IN(defaults.unknown_per_session), 2, 100),
	NUMBER("courtesy.ip.connections", IN(ip.connections), 1, 1000),
	NUMBER("courtesy.operators.*.connections", IN_COURTESY(connections), 1, 100),
	NUMBER("courtesy.operators.*.recipients", IN_COURTESY(recipients), 1, 100),
	NUMBER("courtesy.operators.*.unknown_per_session", IN_COURTESY(unknown_per_session), 2, 100),
	DURATION("timeouts.connect", IN(timeouts.connect_ms), 10 * MS, 10 * MINUTE),
	DURATION("timeouts.banner", IN(timeouts.banner_ms), 10 * MS, 10 * MINUTE),
	DURATION("timeouts.reply", IN(timeouts.reply_ms), 10 * MS, 10 * MINUTE),
	DURATION("timeouts.session", IN(timeouts.session_ms), 10 * MS, HOUR),
	DURATION("facts.yes", IN(facts.yes_ms), SECOND, 365 * DAY),
	DURATION("facts.no", IN(facts.no_ms), SECOND, 365 * DAY),
	DURATION("facts.mailbox", IN(facts.mailbox_ms), SECOND, 365 * DAY),
	TEXT("log.level", set_level, IN(log_level), false, "debug, info, warn or error"),
};
const size_t CONFIG_KEYS_N = sizeof CONFIG_KEYS / sizeof *CONFIG_KEYS;
_Static_assert(sizeof CONFIG_KEYS / sizeof *CONFIG_KEYS <= CONFIG_KEYS_MAX, "walk.c counts on it");

const struct key_list CONFIG_LISTS[] = {
	{ "dns.servers", IN(dns_servers), IN(n_dns_servers), sizeof(struct config_endpoint), CONFIG_DNS_SERVERS,
		false },
	{ "probe.sources", IN(sources), IN(n_sources), sizeof(struct config_source), CONFIG_SOURCES, false },
	{ "probe.allow_networks", IN(allow_networks), IN(n_allow_networks), sizeof(struct ip_net), CONFIG_NETWORKS,
		false },
	{ "courtesy.operators", IN(operators), IN(n_operators), sizeof(struct config_courtesy), CONFIG_OPERATORS,
		true },
};
const size_t CONFIG_LISTS_N = sizeof CONFIG_LISTS / sizeof *CONFIG_LISTS;

static void print_duration(int64_t ms, struct buf *out)
{
	for (size_t i = 0; i < UNITS_N; i++) {
		if (ms % UNITS[i].ms == 0) {
			buf_printf(out, "%lld%s", (long long)(ms / UNITS[i].ms), UNITS[i].name);
			return;
		}
	}
}

void key_allowed(const struct key *key, struct buf *out)
{
	if (key->allowed) {
		buf_puts(out, key->allowed);
	} else if (key->set == set_duration) {
		buf_puts(out, "a whole number with ms, s, m, h or d, from ");
		print_duration(key->min, out);
		buf_puts(out, " to ");
		print_duration(key->max, out);
	} else {
		buf_printf(out, "a whole number from %lld to %lld", (long long)key->min, (long long)key->max);
	}
}
