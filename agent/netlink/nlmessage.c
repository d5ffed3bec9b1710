#include "agent/netlink/nlmessage.h"

#include <linux/netlink.h>
#include <string.h>

/* Reading */

int nlmessage_next(const uint8_t **at, const uint8_t *end, struct nlmessage *ret_message)
{
    struct nlmsghdr header;
    size_t rest = (size_t)(end - *at);
    if (rest == 0)
        return 0;
    if (rest < sizeof header)
        return -1;
    memcpy(&header, *at, sizeof header);
    if (header.nlmsg_len < sizeof header || header.nlmsg_len > rest)
        return -1;
    *ret_message = (struct nlmessage){
        .type = header.nlmsg_type,
        .flags = header.nlmsg_flags,
        .sequence = header.nlmsg_seq,
        .body = *at + sizeof header,
        .length = header.nlmsg_len - sizeof header,
    };
    size_t step = NLMSG_ALIGN((size_t)header.nlmsg_len);
    *at += step < rest ? step : rest;
    return 1;
}

bool nlmessage_take(const struct nsp_buf *bytes, size_t *offset, struct nlmessage *ret_message)
{
    size_t length = nsp_buf_length(bytes);
    if (*offset >= length)
        return false;
    const uint8_t *start = nsp_buf_bytes(bytes);
    const uint8_t *at = start + *offset;
    if (nlmessage_next(&at, start + length, ret_message) <= 0)
        return false;
    *offset = (size_t)(at - start);
    return true;
}

bool nlmessage_attributes(const uint8_t *bytes, size_t length,
                          struct nlmessage_attribute *ret_table, size_t table_count)
{
    memset(ret_table, 0, table_count * sizeof *ret_table);
    while (length > 0) {
        struct nlattr header;
        if (length < sizeof header)
            return false;
        memcpy(&header, bytes, sizeof header);
        if (header.nla_len < sizeof header || header.nla_len > length)
            return false;
        unsigned type = header.nla_type & NLA_TYPE_MASK;
        if (type < table_count)
            ret_table[type] = (struct nlmessage_attribute){
                .data = bytes + sizeof header,
                .length = header.nla_len - sizeof header,
            };
        size_t step = NLA_ALIGN((size_t)header.nla_len);
        if (step > length)
            step = length;
        bytes += step;
        length -= step;
    }
    return true;
}

bool nlmessage_u8(const struct nlmessage_attribute *attribute, uint8_t *ret_value)
{
    if (!attribute->data || attribute->length != sizeof *ret_value)
        return false;
    *ret_value = *attribute->data;
    return true;
}

bool nlmessage_u32(const struct nlmessage_attribute *attribute, uint32_t *ret_value)
{
    if (!attribute->data || attribute->length != sizeof *ret_value)
        return false;
    memcpy(ret_value, attribute->data, sizeof *ret_value);
    return true;
}

bool nlmessage_text(const struct nlmessage_attribute *attribute, char *target, size_t size)
{
    if (!attribute->data)
        return false;
    size_t length = strnlen((const char *)attribute->data, attribute->length);
    if (length >= size)
        return false;
    memcpy(target, attribute->data, length);
    target[length] = '\0';
    return true;
}

/* The extended ack's attributes stand behind the error and, unless the kernel left it out
 * (NLM_F_CAPPED), the whole request. */
static bool read_reason(const struct nlmessage *message, char *target)
{
    struct nlmessage_attribute table[NLMSGERR_ATTR_MSG + 1];
    struct nlmsgerr head;
    memcpy(&head, message->body, sizeof head);
    size_t offset = sizeof head;
    if (!(message->flags & NLM_F_CAPPED)) {
        if (head.msg.nlmsg_len < sizeof head.msg)
            return false;
        offset = sizeof head.error + NLMSG_ALIGN((size_t)head.msg.nlmsg_len);
    }
    if (offset > message->length ||
        !nlmessage_attributes(message->body + offset, message->length - offset, table,
                              sizeof table / sizeof *table))
        return false;
    const struct nlmessage_attribute *text = &table[NLMSGERR_ATTR_MSG];
    size_t length = text->data ? strnlen((const char *)text->data, text->length) : 0;
    if (length >= NLMESSAGE_TEXT)
        length = NLMESSAGE_TEXT - 1;
    if (length > 0)
        memcpy(target, text->data, length);
    target[length] = '\0';
    return true;
}

bool nlmessage_answer(const struct nlmessage *message, struct nlmessage_answer *ret_answer)
{
    struct nlmessage_answer answer = {0};
    int32_t error = 0;
    bool is_error = message->type == NLMSG_ERROR;
    if (message->length < (is_error ? sizeof(struct nlmsgerr) : 0))
        return false;
    if (message->length >= sizeof error)
        memcpy(&error, message->body, sizeof error);
    if (error > 0 || error < -4095)
        return false;
    answer.error = -error;
    if (is_error && message->flags & NLM_F_ACK_TLVS && !read_reason(message, answer.text))
        return false;
    *ret_answer = answer;
    return true;
}

/* Writing */

void nlmessage_init(struct nlmessage_writer *writer, size_t ceiling)
{
    *writer = (struct nlmessage_writer){0};
    nsp_buf_init(&writer->bytes, ceiling);
}

void nlmessage_done(struct nlmessage_writer *writer)
{
    nsp_buf_done(&writer->bytes);
}

static void append(struct nlmessage_writer *writer, const void *bytes, size_t length)
{
    static const uint8_t padding[NLMSG_ALIGNTO];
    if (writer->failed || length == 0)
        return;
    writer->failed = nsp_buf_append(&writer->bytes, bytes, length, NULL) < 0 ||
                     nsp_buf_append(&writer->bytes, padding, -length % NLMSG_ALIGNTO, NULL) < 0;
}

void nlmessage_begin(struct nlmessage_writer *writer, uint16_t type, uint16_t flags,
                     const void *header, size_t header_length)
{
    const struct nlmsghdr message = {.nlmsg_type = type, .nlmsg_flags = flags};
    writer->start = nsp_buf_length(&writer->bytes);
    append(writer, &message, sizeof message);
    append(writer, header, header_length);
}

void nlmessage_put(struct nlmessage_writer *writer, uint16_t type, const void *data, size_t length)
{
    const struct nlattr header = {.nla_type = type, .nla_len = (uint16_t)(sizeof header + length)};
    append(writer, &header, sizeof header);
    append(writer, data, length);
}

void nlmessage_end(struct nlmessage_writer *writer)
{
    if (writer->failed)
        return;
    uint32_t length = (uint32_t)(nsp_buf_length(&writer->bytes) - writer->start);
    memcpy(writer->bytes.data + writer->bytes.start + writer->start, &length, sizeof length);
    writer->count++;
}
