/* Network and link-layer addresses as rtnetlink(7) carries them, and their texts. */
#ifndef AGENT_RTADDRESS_H
#define AGENT_RTADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { RTADDRESS_MAC = 6, RTADDRESS_MAC_TEXT = 18, RTADDRESS_TEXT = 50 };

struct rtaddress {
    uint8_t family; /* AF_INET, AF_INET6 */
    uint8_t prefix; /* bits */
    uint8_t bytes[16];
};

/* 4, 16; 0 for other families. */
size_t rtaddress_length(uint8_t family);
bool rtaddress_equal(const struct rtaddress *one, const struct rtaddress *other);
/* Whether an address lies in a network; its own prefix does not count. */
bool rtaddress_covers(const struct rtaddress *network, const struct rtaddress *address);
/* fe80::/10, 127.0.0.0/8, ::1: what the kernel gives to a link by itself. */
bool rtaddress_is_own(const struct rtaddress *address);

/* "10.0.0.2/24", or without the prefix. */
void rtaddress_format(const struct rtaddress *address, bool with_prefix,
                      char target[RTADDRESS_TEXT]);
void rtaddress_format_mac(const uint8_t mac[RTADDRESS_MAC], char target[RTADDRESS_MAC_TEXT]);

#endif
