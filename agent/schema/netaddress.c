#include "agent/schema/netaddress.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <string.h>

enum { LABEL_MAX = 63, NAME_LENGTH_MAX = 253 }; /* RFC 1035 */

size_t netaddress_length(const struct netaddress *address)
{
    return address->family == AF_INET ? 4 : 16;
}

bool netaddress_parse(const char *text, struct netaddress *ret_address)
{
    struct netaddress address = {.family = strchr(text, ':') ? AF_INET6 : AF_INET};
    if (inet_pton(address.family, text, address.bytes) != 1)
        return false;
    address.prefix = 8 * (unsigned)netaddress_length(&address);
    if (ret_address)
        *ret_address = address;
    return true;
}

/* One to three digits. */
static bool parse_bits(const char *text, unsigned max, unsigned *ret_bits)
{
    unsigned bits = 0;
    size_t length = strspn(text, "0123456789");
    if (length == 0 || length > 3 || text[length] != '\0' || (length > 1 && text[0] == '0'))
        return false;
    for (; *text; text++)
        bits = bits * 10 + (unsigned)(*text - '0');
    if (bits > max)
        return false;
    *ret_bits = bits;
    return true;
}

bool netaddress_parse_prefix(const char *text, struct netaddress *ret_address)
{
    char plain[INET6_ADDRSTRLEN];
    const char *slash = strchr(text, '/');
    struct netaddress address;
    if (!slash || (size_t)(slash - text) >= sizeof plain)
        return false;
    memcpy(plain, text, (size_t)(slash - text));
    plain[slash - text] = '\0';
    if (!netaddress_parse(plain, &address) ||
        !parse_bits(slash + 1, address.prefix, &address.prefix))
        return false;
    if (ret_address)
        *ret_address = address;
    return true;
}

static unsigned digit_value(char digit)
{
    return isdigit((unsigned char)digit) ? (unsigned)(digit - '0')
                                         : (unsigned)((digit | 0x20) - 'a' + 10);
}

bool netaddress_parse_mac(const char *text, uint8_t ret_mac[NETADDRESS_MAC_BYTES])
{
    static const uint8_t zeros[NETADDRESS_MAC_BYTES];
    uint8_t mac[NETADDRESS_MAC_BYTES];
    if (strlen(text) != 3 * NETADDRESS_MAC_BYTES - 1)
        return false;
    for (size_t i = 0; i < NETADDRESS_MAC_BYTES; i++, text += 3) {
        if (!isxdigit((unsigned char)text[0]) || !isxdigit((unsigned char)text[1]) ||
            text[2] != (i + 1 < NETADDRESS_MAC_BYTES ? ':' : '\0'))
            return false;
        mac[i] = (uint8_t)(digit_value(text[0]) << 4 | digit_value(text[1]));
    }
    if ((mac[0] & 1) || memcmp(mac, zeros, sizeof mac) == 0)
        return false;
    if (ret_mac)
        memcpy(ret_mac, mac, sizeof mac);
    return true;
}

bool netaddress_is_network(const struct netaddress *address)
{
    for (unsigned bit = address->prefix; bit < 8 * netaddress_length(address); bit++)
        if (address->bytes[bit / 8] & 0x80 >> bit % 8)
            return false;
    return true;
}

static bool is_label(const char *text, size_t length)
{
    if (length == 0 || length > LABEL_MAX || text[0] == '-' || text[length - 1] == '-')
        return false;
    for (size_t i = 0; i < length; i++)
        if (!isalnum((unsigned char)text[i]) && text[i] != '-' && text[i] != '_')
            return false;
    return true;
}

bool netaddress_is_name(const char *text)
{
    if (strlen(text) > NAME_LENGTH_MAX)
        return false;
    for (;; text++) {
        size_t length = strcspn(text, ".");
        if (!is_label(text, length))
            return false;
        text += length;
        if (*text == '\0')
            return true;
    }
}
