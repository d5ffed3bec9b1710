/* A recursive descent over the text; the depth limit bounds the recursion.
 *
 * Keys of the objects that are open lie on one stack, each object's above those of the object
 * around it. When an object closes its keys are compared with each other - few by pairs, many
 * sorted by hash, so that no choice of keys makes it quadratic - and taken off.
 */
#include "protocol/json_check.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/limits.h"

enum {
    FIXED_KEYS = 128,
    PAIRWISE_KEYS = 16,
    NUMBER_LENGTH = 63, /* parsers copy a number into a buffer of 64 */
    DOUBLE_EXPONENT = 308,
    DOUBLE_DIGITS = 17,
};

/* The leading digits of the largest double, 1.7976931348623157e308. */
static const char largest_double[] = "17976931348623157";

struct key {
    uint32_t hash;
    uint32_t offset; /* of the first character, behind the quote */
};

struct check {
    const uint8_t *start, *at, *end;
    size_t nodes;
    struct key *keys; /* fixed, or allocated */
    size_t key_count, key_capacity;
    size_t fault; /* where the text was refused with PARSE */
    struct nsp_error *err;
    struct key fixed[FIXED_KEYS];
};

static int refuse(struct check *check, const char *reason)
{
    check->fault = (size_t)(check->at - check->start);
    return nsp_fail(check->err, NSP_E_PARSE, "%s", reason);
}

static int refuse_limit(struct check *check, const char *limit, const char *what, unsigned value)
{
    return nsp_fail_on(check->err, NSP_E_EXHAUSTED, limit, "a JSON message has at most %u %s",
                       value, what);
}

static int peek(const struct check *check)
{
    return check->at < check->end ? *check->at : -1;
}

static void skip_space(struct check *check)
{
    while (check->at < check->end &&
           (*check->at == ' ' || *check->at == '\t' || *check->at == '\n' || *check->at == '\r'))
        check->at++;
}

/* Strings */

static int hex_value(uint8_t digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    digit |= 0x20;
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

/* Four hexadecimal digits at `at`; -1 when they are not. */
static int hex4(const uint8_t *at, const uint8_t *end)
{
    if (end - at < 4)
        return -1;
    int value = 0;
    for (int i = 0; i < 4; i++) {
        int digit = hex_value(at[i]);
        if (digit < 0)
            return -1;
        value = value << 4 | digit;
    }
    return value;
}

static bool is_surrogate(int unit, int first)
{
    return unit >= first && unit < first + 0x400;
}

static uint32_t join_surrogates(int high, int low)
{
    return 0x10000 + ((uint32_t)(high - 0xD800) << 10) + (uint32_t)(low - 0xDC00);
}

/* At the `u` of an escape. Leaves the text behind it and gives the code point. */
static int check_unicode_escape(struct check *check, uint32_t *ret_point)
{
    int unit = hex4(check->at + 1, check->end);
    if (unit < 0)
        return refuse(check, "bad \\u escape");
    if (unit == 0)
        return refuse(check, "\\u0000 is not accepted");
    if (is_surrogate(unit, 0xDC00))
        return refuse(check, "unpaired surrogate");
    if (!is_surrogate(unit, 0xD800)) {
        *ret_point = (uint32_t)unit;
        check->at += 5;
        return 0;
    }
    const uint8_t *next = check->at + 5;
    int low = -1;
    if (check->end - next >= 6 && next[0] == '\\' && next[1] == 'u')
        low = hex4(next + 2, check->end);
    if (!is_surrogate(low, 0xDC00))
        return refuse(check, "unpaired surrogate");
    *ret_point = join_surrogates(unit, low);
    check->at += 11;
    return 0;
}

/* What a short escape stands for; 0 when there is none of that letter. */
static uint32_t short_escape(int letter)
{
    switch (letter) {
    case '"':
    case '\\':
    case '/':
        return (uint32_t)letter;
    case 'b':
        return '\b';
    case 'f':
        return '\f';
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    default:
        return 0;
    }
}

/* One character of a string that is neither plain ASCII nor the closing quote. */
static int check_character(struct check *check, uint32_t *ret_point)
{
    if (*check->at < 0x20)
        return refuse(check, "control character in a string");
    if (*check->at != '\\') {
        size_t length = nsp_utf8_next(check->at, check->end);
        if (length == 0)
            return refuse(check, "ill-formed UTF-8");
        *ret_point = nsp_utf8_code_point(check->at, length);
        check->at += length;
        return 0;
    }
    check->at++;
    if (peek(check) == 'u')
        return check_unicode_escape(check, ret_point);
    *ret_point = short_escape(peek(check));
    if (*ret_point == 0)
        return refuse(check, "bad escape");
    check->at++;
    return 0;
}

/* At the opening quote. *ret_hash is over the unescaped code points (FNV-1a). */
static int check_string(struct check *check, uint32_t *ret_hash)
{
    uint32_t hash = 2166136261u;
    check->at++;
    while (check->at < check->end) {
        uint32_t point = *check->at;
        if (point == '"') {
            check->at++;
            *ret_hash = hash;
            return 0;
        }
        if (point >= 0x20 && point < 0x80 && point != '\\')
            check->at++;
        else if (check_character(check, &point) < 0)
            return -1;
        hash = (hash ^ point) * 16777619u;
    }
    return refuse(check, "unterminated string");
}

/* Keys: their text was checked already, so that its end is the quote */

static uint32_t next_point(const uint8_t **at)
{
    const uint8_t *here = *at;
    if (*here == '"')
        return 0;
    if (*here != '\\') {
        size_t length = nsp_utf8_next(here, here + 4);
        *at += length;
        return nsp_utf8_code_point(here, length);
    }
    if (here[1] != 'u') {
        *at += 2;
        return short_escape(here[1]);
    }
    int unit = hex4(here + 2, here + 6);
    if (!is_surrogate(unit, 0xD800)) {
        *at += 6;
        return (uint32_t)unit;
    }
    *at += 12;
    return join_surrogates(unit, hex4(here + 8, here + 12));
}

static int compare_text(const uint8_t *start, const struct key *a, const struct key *b)
{
    const uint8_t *at_a = start + a->offset, *at_b = start + b->offset;
    for (;;) {
        uint32_t point_a = next_point(&at_a), point_b = next_point(&at_b);
        if (point_a != point_b)
            return point_a < point_b ? -1 : 1;
        if (point_a == 0)
            return 0;
    }
}

static int compare_keys(const void *a, const void *b, void *start)
{
    const struct key *key_a = a, *key_b = b;
    if (key_a->hash != key_b->hash)
        return key_a->hash < key_b->hash ? -1 : 1;
    return compare_text(start, key_a, key_b);
}

static int push_key(struct check *check, uint32_t hash, size_t offset)
{
    if (check->key_count == check->key_capacity) {
        size_t capacity = check->key_capacity * 4;
        struct key *keys = malloc(capacity * sizeof *keys);
        if (!keys)
            return nsp_fail_errno(check->err, NSP_E_EXHAUSTED, ENOMEM, "malloc", "memory");
        memcpy(keys, check->keys, check->key_count * sizeof *keys);
        if (check->keys != check->fixed)
            free(check->keys);
        check->keys = keys;
        check->key_capacity = capacity;
    }
    check->keys[check->key_count++] = (struct key){.hash = hash, .offset = (uint32_t)offset};
    return 0;
}

static int refuse_duplicate(struct check *check, const struct key *a, const struct key *b)
{
    check->fault = a->offset > b->offset ? a->offset : b->offset;
    return nsp_fail(check->err, NSP_E_PARSE, "duplicate key");
}

/* An object closes whose keys are those from `first` on. */
static int close_keys(struct check *check, size_t first)
{
    struct key *keys = check->keys + first;
    size_t count = check->key_count - first;
    check->key_count = first;
    if (count <= PAIRWISE_KEYS) {
        for (size_t i = 1; i < count; i++)
            for (size_t j = 0; j < i; j++)
                if (keys[i].hash == keys[j].hash &&
                    compare_text(check->start, &keys[i], &keys[j]) == 0)
                    return refuse_duplicate(check, &keys[i], &keys[j]);
        return 0;
    }
    qsort_r(keys, count, sizeof *keys, compare_keys, (void *)check->start);
    for (size_t i = 1; i < count; i++)
        if (compare_keys(&keys[i - 1], &keys[i], (void *)check->start) == 0)
            return refuse_duplicate(check, &keys[i - 1], &keys[i]);
    return 0;
}

/* Numbers */

struct number {
    char digits[NUMBER_LENGTH + 1]; /* significant ones, without leading zeros */
    int count;
    int whole;    /* how many of them stand before the point; negative: zeros behind it */
    int exponent; /* saturated */
};

static void take_digits(struct check *check, struct number *number, bool fraction)
{
    for (; check->at < check->end && *check->at >= '0' && *check->at <= '9'; check->at++) {
        bool leading_zero = number->count == 0 && *check->at == '0';
        if (!leading_zero && number->count < NUMBER_LENGTH)
            number->digits[number->count++] = (char)*check->at;
        if (leading_zero ? fraction : !fraction)
            number->whole += fraction ? -1 : 1;
    }
}

static int require_digit(struct check *check)
{
    int c = peek(check);
    return c >= '0' && c <= '9' ? 0 : refuse(check, "a digit is missing");
}

static int take_exponent(struct check *check, struct number *number)
{
    check->at++;
    bool negative = peek(check) == '-';
    if (negative || peek(check) == '+')
        check->at++;
    if (require_digit(check) < 0)
        return -1;
    for (; check->at < check->end && *check->at >= '0' && *check->at <= '9'; check->at++)
        if (number->exponent < 100000)
            number->exponent = number->exponent * 10 + (*check->at - '0');
    if (negative)
        number->exponent = -number->exponent;
    return 0;
}

static bool fits_double(const struct number *number)
{
    if (number->count == 0)
        return true;
    int magnitude = number->whole - 1 + number->exponent;
    if (magnitude != DOUBLE_EXPONENT)
        return magnitude < DOUBLE_EXPONENT;
    char digits[DOUBLE_DIGITS];
    memset(digits, '0', sizeof digits);
    int count = number->count < DOUBLE_DIGITS ? number->count : DOUBLE_DIGITS;
    memcpy(digits, number->digits, (size_t)count);
    return memcmp(digits, largest_double, DOUBLE_DIGITS) <= 0;
}

static int check_number(struct check *check)
{
    const uint8_t *first = check->at;
    struct number number = {.count = 0};
    if (*check->at == '-')
        check->at++;
    if (require_digit(check) < 0)
        return -1;
    if (*check->at == '0' && check->end - check->at > 1 && check->at[1] >= '0' &&
        check->at[1] <= '9')
        return refuse(check, "number with a leading zero");
    take_digits(check, &number, false);
    if (peek(check) == '.') {
        check->at++;
        if (require_digit(check) < 0)
            return -1;
        take_digits(check, &number, true);
    }
    if ((peek(check) == 'e' || peek(check) == 'E') && take_exponent(check, &number) < 0)
        return -1;
    if (check->at - first > NUMBER_LENGTH || !fits_double(&number))
        return refuse(check, "number out of range");
    return 0;
}

/* Values */

static int check_value(struct check *check, unsigned depth);

static int check_literal(struct check *check, const char *literal)
{
    size_t length = strlen(literal);
    if ((size_t)(check->end - check->at) < length || memcmp(check->at, literal, length) != 0)
        return refuse(check, "unknown word");
    check->at += length;
    return 0;
}

static int check_member(struct check *check, unsigned depth)
{
    if (peek(check) != '"')
        return refuse(check, "a key is missing");
    size_t offset = (size_t)(check->at - check->start) + 1;
    uint32_t hash;
    if (check_string(check, &hash) < 0 || push_key(check, hash, offset) < 0)
        return -1;
    skip_space(check);
    if (peek(check) != ':')
        return refuse(check, "a colon is missing");
    check->at++;
    skip_space(check);
    return check_value(check, depth);
}

/* At the opening bracket of an object (closing '}') or an array (closing ']'). */
static int check_container(struct check *check, unsigned depth, char closing)
{
    if (depth > NSP_LIMIT_JSON_DEPTH)
        return refuse_limit(check, "json_depth", "levels", NSP_LIMIT_JSON_DEPTH);
    bool is_object = closing == '}';
    size_t first_key = check->key_count;
    check->at++;
    skip_space(check);
    if (peek(check) == closing) {
        check->at++;
        return 0;
    }
    for (;;) {
        if ((is_object ? check_member(check, depth) : check_value(check, depth)) < 0)
            return -1;
        skip_space(check);
        int c = peek(check);
        if (c != ',' && c != closing)
            return refuse(check, is_object ? "a comma or } is missing" : "a comma or ] is missing");
        check->at++;
        if (c == closing)
            return is_object ? close_keys(check, first_key) : 0;
        skip_space(check);
    }
}

/* depth: containers around the value. */
static int check_value(struct check *check, unsigned depth)
{
    if (++check->nodes > NSP_LIMIT_JSON_NODES)
        return refuse_limit(check, "json_nodes", "values", NSP_LIMIT_JSON_NODES);
    uint32_t hash;
    int c = peek(check);
    switch (c) {
    case '{':
        return check_container(check, depth + 1, '}');
    case '[':
        return check_container(check, depth + 1, ']');
    case '"':
        return check_string(check, &hash);
    case 't':
        return check_literal(check, "true");
    case 'f':
        return check_literal(check, "false");
    case 'n':
        return check_literal(check, "null");
    default:
        if (c == '-' || (c >= '0' && c <= '9'))
            return check_number(check);
        return refuse(check, "a value is missing");
    }
}

static int check_text(struct check *check)
{
    skip_space(check);
    if (peek(check) == 0xEF)
        return refuse(check, "byte order mark or other text");
    if (peek(check) != '{')
        return refuse(check, "the message is not an object");
    if (check_value(check, 0) < 0)
        return -1;
    skip_space(check);
    return check->at == check->end ? 0 : refuse(check, "something follows the message");
}

int nsp_json_check_place(const char *text, size_t length, size_t *ret_offset, struct nsp_error *err)
{
    if (length > NSP_LIMIT_JSON_MESSAGE)
        return nsp_fail_on(err, NSP_E_EXHAUSTED, "json_message",
                           "a JSON message has at most %u bytes", NSP_LIMIT_JSON_MESSAGE);
    struct check check;
    check.start = check.at = (const uint8_t *)text;
    check.end = check.start + length;
    check.nodes = 0;
    check.keys = check.fixed;
    check.key_count = 0;
    check.key_capacity = FIXED_KEYS;
    check.fault = 0;
    check.err = err;
    int result = check_text(&check);
    if (check.keys != check.fixed)
        free(check.keys);
    if (result < 0)
        *ret_offset = check.fault;
    return result;
}

int nsp_json_check(const char *text, size_t length, struct nsp_error *err)
{
    struct nsp_error reason = NSP_ERROR_INIT;
    size_t offset;
    if (nsp_json_check_place(text, length, &offset, &reason) == 0)
        return 0;
    if (reason.code == NSP_E_PARSE)
        return nsp_fail(err, NSP_E_PARSE, "%s at byte %zu", reason.msg, offset);
    if (err)
        *err = reason;
    return -1;
}
