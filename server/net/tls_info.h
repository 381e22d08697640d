#pragma once
/* What is worth recording of a TLS handshake. A plain value. */
#include <stdbool.h>

struct tls_info {
	char version[12]; /* "TLSv1.3"; "": in clear */
	char cipher[48];
	bool resumed;
	char certificate_sha256[65];   /* of the leaf, hexadecimal; "" if there was none */
	char certificate_subject[128]; /* one line of printable ASCII; the peer chose it */
};
