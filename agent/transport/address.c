#include "agent/transport/address.h"

#include <linux/vm_sockets.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/transport/transport.h"

static const struct transport *const transports[] = {
    &vsock_transport,
    &unix_transport,
    &tcp_transport,
};

int address_number(const char *text, unsigned long max, unsigned long *ret_number)
{
    if (text[0] < '0' || text[0] > '9' || (text[0] == '0' && text[1] != '\0'))
        return -1;
    char *end;
    errno = 0;
    unsigned long number = strtoul(text, &end, 10);
    if (errno != 0 || *end != '\0' || number > max)
        return -1;
    *ret_number = number;
    return 0;
}

int address_parse(const char *text, struct address *ret_address, struct nsp_error *err)
{
    size_t length = strlen(text);
    if (length > ADDRESS_TEXT_MAX)
        return nsp_fail_on(err, NSP_E_INVALID_PARAMS, text, "address is longer than %d bytes",
                           ADDRESS_TEXT_MAX);
    size_t scheme_length = strcspn(text, ":");
    for (size_t i = 0; text[scheme_length] && i < sizeof transports / sizeof *transports; i++) {
        const char *scheme = transports[i]->scheme;
        if (strlen(scheme) != scheme_length || strncmp(scheme, text, scheme_length) != 0)
            continue;
        struct address address = {.transport = transports[i]};
        memcpy(address.text, text, length + 1);
        if (transports[i]->parse(text + scheme_length + 1, &address, err) < 0)
            return -1;
        *ret_address = address;
        return 0;
    }
    return nsp_fail_on(err, NSP_E_INVALID_PARAMS, text,
                       "address does not start with vsock:, unix: or tcp:");
}

unsigned address_vsock_port(const struct address *address)
{
    if (address->transport != &vsock_transport)
        return 0;
    return ((const struct sockaddr_vm *)&address->socket)->svm_port;
}
