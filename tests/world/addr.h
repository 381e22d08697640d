#pragma once
/* An IP address with a port, small enough to keep one per connection. Plain values. */
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

struct addr {
	uint8_t ip[16]; /* the first 4 for IPv4 */
	uint16_t port;
	uint8_t v6;   /* 1: IPv6 */
	uint8_t zero; /* no padding: the bytes are keys of hashes */
};
#define ADDR_TEXT_MAX 64

bool addr_parse(struct addr *, const char *ip);	       /* the IP alone; the port becomes 0 */
bool addr_parse_port(struct addr *, const char *text); /* 127.0.0.1:53 or [::1]:53 */
bool addr_is_loopback(const struct addr *);
bool addr_same_ip(const struct addr *, const struct addr *);
void addr_from_sock(struct addr *, const struct sockaddr_storage *);
socklen_t addr_to_sock(const struct addr *, struct sockaddr_storage *);
/* Writes the IP, or IP and port; returns `text`, which has room for ADDR_TEXT_MAX bytes. */
const char *addr_ip_text(const struct addr *, char *text);
const char *addr_text(const struct addr *, char *text);
