#include <string.h>

#include "protocol/base64.h"
#include "tests/support/unit.h"

/* RFC 4648 section 10, and bytes that use the last two characters. */
static const struct {
    const char *bytes;
    size_t n;
    const char *text;
} vectors[] = {
    {"", 0, ""},
    {"f", 1, "Zg=="},
    {"fo", 2, "Zm8="},
    {"foo", 3, "Zm9v"},
    {"foob", 4, "Zm9vYg=="},
    {"fooba", 5, "Zm9vYmE="},
    {"foobar", 6, "Zm9vYmFy"},
    {"\0\xFB\xFF\xBF", 4, "APv/vw=="},
    {"\xFB\xEF\xBE\xFF\xFF\xFF", 6, "++++////"},
};
enum { VECTORS = sizeof vectors / sizeof *vectors };

START_TEST(encodes_the_known_vectors)
{
    char text[32] = "";
    size_t length = nsp_base64_encode(text, vectors[_i].bytes, vectors[_i].n);
    ck_assert_uint_eq(length, nsp_base64_encoded_length(vectors[_i].n));
    ck_assert_uint_eq(length, strlen(vectors[_i].text));
    ck_assert_mem_eq(text, vectors[_i].text, length);
    ck_assert_int_eq(text[length], '\0');
}
END_TEST

START_TEST(decodes_the_known_vectors)
{
    char bytes[32];
    size_t n = 99, length = strlen(vectors[_i].text);
    ck_assert_uint_le(vectors[_i].n, nsp_base64_decoded_room(length));
    ck_assert_int_eq(nsp_base64_decode(bytes, vectors[_i].text, length, &n, NULL), 0);
    ck_assert_uint_eq(n, vectors[_i].n);
    ck_assert_mem_eq(bytes, vectors[_i].bytes, n);
}
END_TEST

START_TEST(every_byte_survives_a_round_trip_in_place)
{
    for (size_t n = 0; n <= 256; n++) {
        unsigned char bytes[256], text[nsp_base64_encoded_length(256)];
        for (size_t i = 0; i < n; i++)
            bytes[i] = (unsigned char)(i * 37 + n);
        size_t back, length = nsp_base64_encode((char *)text, bytes, n);
        ck_assert_int_eq(nsp_base64_decode(text, (char *)text, length, &back, NULL), 0);
        ck_assert_uint_eq(back, n);
        ck_assert_mem_eq(text, bytes, n);
    }
}
END_TEST

static const char *const refused[] = {
    "Zg",   "Zg=",    "Z",    "=",    "====", "Zg==Zg==", "Z===",     "Zh==",       "Zm9=",
    "Zm 9", "Zm9v\n", "Zm-v", "Zm_v", "Zg=g", "Zm9v====", "Zm9vYg=a", "\xC3\xA9==",
};
enum { REFUSED = sizeof refused / sizeof *refused };

START_TEST(what_is_not_canonical_is_refused)
{
    char bytes[32];
    size_t n = 99;
    struct nsp_error err = NSP_ERROR_INIT;
    ck_assert_int_eq(nsp_base64_decode(bytes, refused[_i], strlen(refused[_i]), &n, &err), -1);
    ck_assert_int_eq(err.code, NSP_E_INVALID_PARAMS);
    ck_assert_uint_eq(n, 99);
}
END_TEST

START_TEST(a_nul_is_no_character)
{
    char bytes[4];
    size_t n;
    ck_assert_int_eq(nsp_base64_decode(bytes, "Zm\0v", 4, &n, NULL), -1);
}
END_TEST

static Suite *suite(void)
{
    Suite *suite = suite_create("base64");
    TCase *tests = tcase_create("base64");
    tcase_add_loop_test(tests, encodes_the_known_vectors, 0, VECTORS);
    tcase_add_loop_test(tests, decodes_the_known_vectors, 0, VECTORS);
    tcase_add_test(tests, every_byte_survives_a_round_trip_in_place);
    tcase_add_loop_test(tests, what_is_not_canonical_is_refused, 0, REFUSED);
    tcase_add_test(tests, a_nul_is_no_character);
    suite_add_tcase(suite, tests);
    return suite;
}

UNIT_MAIN(suite)
