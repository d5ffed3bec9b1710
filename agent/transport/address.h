/* Where the agent listens: text such as "unix:/run/nullspace.sock", parsed.
 *
 *   vsock:PORT          any local CID (vsock(7))
 *   unix:PATH           a path of at most 107 bytes
 *   unix:@NAME          Linux's abstract name space (unix(7))
 *   tcp:A.B.C.D:PORT    numeric addresses only; port 0 lets the kernel choose
 *   tcp:[IPV6]:PORT
 */
#ifndef AGENT_ADDRESS_H
#define AGENT_ADDRESS_H

#include <sys/socket.h>

#include "protocol/error.h"

struct transport;

enum { ADDRESS_TEXT_MAX = 127 };

struct address {
    const struct transport *transport;
    char text[ADDRESS_TEXT_MAX + 1]; /* as it was given */
    struct sockaddr_storage socket;
    socklen_t length;
};

/* INVALID_PARAMS names the text and says what is wrong with it. */
int address_parse(const char *text, struct address *ret_address, struct nsp_error *err);

/* The port of a vsock address; 0 for another. */
unsigned address_vsock_port(const struct address *address);

/* A decimal number without sign or leading zeros, at most max. For the transports' parsers. */
int address_number(const char *text, unsigned long max, unsigned long *ret_number);

#endif
