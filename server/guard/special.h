#pragma once
/* Addresses that are not on the public network: IANA's special-purpose registries. Private to server/guard. */
#include "server/base/ip.h"

bool ip_is_special(const struct ip *);
