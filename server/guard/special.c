#include "server/guard/special.h"

#include <pthread.h>

/* IANA IPv4 and IPv6 Special-Purpose Address Registries and multicast. In IPv6 only 2000::/3 is allocated to anybody:
 * what is outside of it is special whatever it is called (loopback, v4-mapped, NAT64, unique local, link-local,
 * multicast), so that no name can be forgotten. */
static const char *const SPECIAL[] = {
	"0.0.0.0/8",	     /* this network */
	"10.0.0.0/8",	     /* private */
	"100.64.0.0/10",     /* carrier-grade NAT */
	"127.0.0.0/8",	     /* loopback */
	"169.254.0.0/16",    /* link-local */
	"172.16.0.0/12",     /* private */
	"192.0.0.0/24",	     /* protocol assignments */
	"192.0.2.0/24",	     /* documentation */
	"192.31.196.0/24",   /* AS112 */
	"192.52.193.0/24",   /* AMT */
	"192.88.99.0/24",    /* 6to4 relay */
	"192.168.0.0/16",    /* private */
	"192.175.48.0/24",   /* AS112 */
	"198.18.0.0/15",     /* benchmarking */
	"198.51.100.0/24",   /* documentation */
	"203.0.113.0/24",    /* documentation */
	"224.0.0.0/4",	     /* multicast */
	"240.0.0.0/4",	     /* reserved, broadcast */
	"2001::/23",	     /* protocol assignments: Teredo, ORCHID and others */
	"2001:db8::/32",     /* documentation */
	"2002::/16",	     /* 6to4: an IPv4 address inside */
	"2620:4f:8000::/48", /* AS112 */
	"3fff::/20",	     /* documentation */
};
#define SPECIAL_COUNT (sizeof SPECIAL / sizeof *SPECIAL)

static struct ip_net special[SPECIAL_COUNT], global_unicast;

static void parse(void)
{
	for (size_t i = 0; i < SPECIAL_COUNT; i++)
		if (!ip_net_parse(SPECIAL[i], &special[i]))
			__builtin_trap(); /* our own table */
	if (!ip_net_parse("2000::/3", &global_unicast))
		__builtin_trap();
}

bool ip_is_special(const struct ip *ip)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	pthread_once(&once, parse);
	if (ip->v6 && !ip_net_contains(&global_unicast, ip))
		return true;
	for (size_t i = 0; i < SPECIAL_COUNT; i++)
		if (ip_net_contains(&special[i], ip))
			return true;
	return false;
}
