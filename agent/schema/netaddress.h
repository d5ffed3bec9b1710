/* Network addresses as texts: IPv4, IPv6, prefixes, MACs, and what a host may be called. Pure;
 * nothing is looked up.
 *
 * Each returns false for a text that is not one, and writes then nothing. ret_address and ret_mac
 * may be NULL.
 */
#ifndef AGENT_SCHEMA_NETADDRESS_H
#define AGENT_SCHEMA_NETADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { NETADDRESS_MAC_BYTES = 6 };

struct netaddress {
    int family;        /* AF_INET or AF_INET6 */
    uint8_t bytes[16]; /* in network order; the first 4 for IPv4 */
    unsigned prefix;   /* bits; all of them for a plain address */
};

/* "10.0.0.1", "fd00::1" */
bool netaddress_parse(const char *text, struct netaddress *ret_address);

/* "10.0.0.1/24"; the prefix is required. */
bool netaddress_parse_prefix(const char *text, struct netaddress *ret_address);

/* "02:00:00:00:00:01", of a single interface: not all zeros, no group. */
bool netaddress_parse_mac(const char *text, uint8_t ret_mac[NETADDRESS_MAC_BYTES]);

/* No bit behind the prefix is set, as the destination of a route must have it. */
bool netaddress_is_network(const struct netaddress *address);

/* A host or domain name: labels of 1 to 63 letters, digits, - and _, 253 characters at most. */
bool netaddress_is_name(const char *text);

/* 4 or 16 */
size_t netaddress_length(const struct netaddress *address);

#endif
