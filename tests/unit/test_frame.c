#include <string.h>

#include "protocol/frame.h"
#include "protocol/limits.h"
#include "tests/support/unit.h"

static const struct {
    struct nsp_frame frame;
    const char *header;
} known[] = {
    {{.length = 0x1234, .stream = 1, .type = NSP_FRAME_REQUEST, .flags = NSP_FLAG_MORE},
     "\0\0\x12\x34\0\0\0\1\1\1\0\0\0\0\0\0\0\0\0\0"},
    {{.length = 2, .stream = 0xFFFFFFFF, .type = NSP_FRAME_RESPONSE},
     "\0\0\0\2\xFF\xFF\xFF\xFF\2\0\0\0\0\0\0\0\0\0\0\0"},
    {{.length = 2, .stream = 3, .type = NSP_FRAME_NOTIFY},
     "\0\0\0\2\0\0\0\3\3\0\0\0\0\0\0\0\0\0\0\0"},
    {{.length = NSP_LIMIT_FRAME_PAYLOAD,
      .stream = 5,
      .type = NSP_FRAME_DATA,
      .channel = NSP_CHANNEL_STDOUT,
      .offset = 0x0102030405060708},
     "\0\4\0\0\0\0\0\5\4\0\2\0\1\2\3\4\5\6\7\x08"},
    {{.stream = 5,
      .type = NSP_FRAME_END,
      .flags = NSP_FLAG_TRUNCATED,
      .channel = NSP_CHANNEL_STDERR,
      .offset = UINT64_MAX},
     "\0\0\0\0\0\0\0\5\5\2\3\0\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF"},
    {{.length = 8, .stream = 5, .type = NSP_FRAME_GAP, .channel = NSP_CHANNEL_STDOUT, .offset = 9},
     "\0\0\0\x08\0\0\0\5\6\0\2\0\0\0\0\0\0\0\0\x09"},
    {{.length = 8, .stream = 5, .type = NSP_FRAME_CREDIT, .channel = NSP_CHANNEL_STDIN},
     "\0\0\0\x08\0\0\0\5\7\0\1\0\0\0\0\0\0\0\0\0"},
    {{.stream = 5, .type = NSP_FRAME_CANCEL}, "\0\0\0\0\0\0\0\5\x08\0\0\0\0\0\0\0\0\0\0\0"},
    {{.length = 8, .type = NSP_FRAME_PING}, "\0\0\0\x08\0\0\0\0\x09\0\0\0\0\0\0\0\0\0\0\0"},
    {{.length = 8, .type = NSP_FRAME_PONG}, "\0\0\0\x08\0\0\0\0\x0A\0\0\0\0\0\0\0\0\0\0\0"},
    {{.length = 2, .type = NSP_FRAME_GOAWAY}, "\0\0\0\2\0\0\0\0\x0B\0\0\0\0\0\0\0\0\0\0\0"},
};
enum { KNOWN = sizeof known / sizeof *known };

START_TEST(a_frame_is_laid_out_as_the_protocol_has_it)
{
    uint8_t header[NSP_FRAME_HEADER_SIZE + 1] = {[NSP_FRAME_HEADER_SIZE] = 0x77};
    nsp_frame_encode(&known[_i].frame, header);
    ck_assert_mem_eq(header, known[_i].header, NSP_FRAME_HEADER_SIZE);
    ck_assert_int_eq(header[NSP_FRAME_HEADER_SIZE], 0x77);
}
END_TEST

START_TEST(a_frame_is_read_as_it_was_written)
{
    struct nsp_frame frame;
    struct nsp_error err = NSP_ERROR_INIT;
    ck_assert_int_eq(nsp_frame_decode((const uint8_t *)known[_i].header, &frame, &err), 0);
    ck_assert_uint_eq(frame.length, known[_i].frame.length);
    ck_assert_uint_eq(frame.stream, known[_i].frame.stream);
    ck_assert_uint_eq(frame.type, known[_i].frame.type);
    ck_assert_uint_eq(frame.flags, known[_i].frame.flags);
    ck_assert_uint_eq(frame.channel, known[_i].frame.channel);
    ck_assert_uint_eq(frame.offset, known[_i].frame.offset);
}
END_TEST

/* Each case changes one byte of a good header. */
static const struct {
    int row, byte;
    uint8_t value;
    const char *what;
} malformed[] = {
    {0, 8, 0, "unknown frame type 0"},
    {0, 8, 13, "unknown frame type 13"},
    {0, 8, 255, "unknown frame type 255"},
    {0, 9, 2, "flags"},        /* TRUNCATED on REQUEST */
    {3, 9, 1, "flags"},        /* MORE on DATA */
    {4, 9, 3, "flags"},        /* MORE on END */
    {8, 9, 1, "flags"},        /* on PING */
    {0, 10, 1, "channel 1"},   /* on REQUEST */
    {3, 10, 0, "channel 0"},   /* none on DATA */
    {3, 10, 4, "channel 4"},   /* there is none */
    {0, 11, 1, "reserved"},    /* on every type */
    {10, 11, 128, "reserved"}, /* */
    {0, 19, 1, "offset on REQUEST"},
    {7, 12, 1, "offset on CANCEL"},
    {0, 7, 0, "stream 0"},         /* REQUEST on the connection */
    {8, 7, 1, "stream 1 on PING"}, /* PING on a stream */
    {10, 4, 1, "on GOAWAY"},
    {1, 3, 0, "payload of 0"}, /* empty RESPONSE */
    {3, 3, 1, "payload"},      /* DATA above the limit */
    {0, 0, 1, "payload"},      /* */
    {4, 3, 1, "payload of 1"}, /* END with payload */
    {5, 3, 7, "payload of 7"}, /* GAP */
    {6, 3, 9, "payload of 9"}, /* CREDIT */
    {8, 3, 0, "payload of 0"}, /* PING */
};
enum { MALFORMED = sizeof malformed / sizeof *malformed };

START_TEST(a_malformed_header_is_refused)
{
    uint8_t header[NSP_FRAME_HEADER_SIZE];
    struct nsp_frame frame = {.length = 77};
    struct nsp_error err = NSP_ERROR_INIT;
    memcpy(header, known[malformed[_i].row].header, sizeof header);
    header[malformed[_i].byte] = malformed[_i].value;
    ck_assert_int_eq(nsp_frame_decode(header, &frame, &err), -1);
    ck_assert_int_eq(err.code, NSP_E_PROTOCOL);
    ck_assert_msg(strstr(err.msg, malformed[_i].what), "%s", err.msg);
    ck_assert_uint_eq(frame.length, 77);
}
END_TEST

START_TEST(data_must_not_be_empty)
{
    uint8_t header[NSP_FRAME_HEADER_SIZE];
    struct nsp_frame frame;
    memcpy(header, known[3].header, sizeof header);
    header[1] = 0;
    ck_assert_int_eq(nsp_frame_decode(header, &frame, NULL), -1);
    header[3] = 1;
    ck_assert_int_eq(nsp_frame_decode(header, &frame, NULL), 0);
}
END_TEST

/* The last piece of a message that came in several frames may be one byte. */
START_TEST(a_message_may_end_in_one_byte)
{
    uint8_t header[NSP_FRAME_HEADER_SIZE];
    struct nsp_frame frame;
    for (int row = 0; row < 3; row++) {
        memcpy(header, known[row].header, sizeof header);
        memcpy(header, "\0\0\0\1", 4);
        ck_assert_int_eq(nsp_frame_decode(header, &frame, NULL), 0);
    }
}
END_TEST

START_TEST(types_have_names)
{
    ck_assert_str_eq(nsp_frame_type_name(NSP_FRAME_REQUEST), "REQUEST");
    ck_assert_str_eq(nsp_frame_type_name(NSP_FRAME_GOAWAY), "GOAWAY");
    ck_assert_ptr_null(nsp_frame_type_name(0));
    ck_assert_ptr_null(nsp_frame_type_name(13));
    ck_assert_ptr_null(nsp_frame_type_name(255));
}
END_TEST

START_TEST(numbers_are_big_endian)
{
    uint8_t bytes[8];
    nsp_frame_put_u64(bytes, UINT64_C(0x8182838485868788));
    ck_assert_mem_eq(bytes, "\x81\x82\x83\x84\x85\x86\x87\x88", 8);
    ck_assert_uint_eq(nsp_frame_get_u64(bytes), UINT64_C(0x8182838485868788));
}
END_TEST

START_TEST(the_preface_is_ours)
{
    uint8_t preface[NSP_PREFACE_SIZE], minor = 9;
    nsp_preface_encode(preface);
    ck_assert_mem_eq(preface, "\xC0NSP\1\0\0\0", 8);
    ck_assert_int_eq(nsp_preface_decode(preface, &minor, NULL), 0);
    ck_assert_uint_eq(minor, 0);
}
END_TEST

START_TEST(a_newer_minor_version_is_accepted)
{
    uint8_t minor = 9;
    ck_assert_int_eq(nsp_preface_decode((const uint8_t *)"\xC0NSP\1\7\0\0", &minor, NULL), 0);
    ck_assert_uint_eq(minor, 7);
}
END_TEST

START_TEST(another_major_version_is_version_and_junk_is_protocol)
{
    uint8_t minor = 9;
    struct nsp_error err = NSP_ERROR_INIT;
    ck_assert_int_eq(nsp_preface_decode((const uint8_t *)"\xC0NSP\2\0\0\0", &minor, &err), -1);
    ck_assert_int_eq(err.code, NSP_E_VERSION);
    ck_assert_int_eq(nsp_preface_decode((const uint8_t *)"\xC0NSX\1\0\0\0", &minor, &err), -1);
    ck_assert_int_eq(err.code, NSP_E_PROTOCOL);
    ck_assert_int_eq(nsp_preface_decode((const uint8_t *)"\xC0NSP\1\0\0\1", &minor, &err), -1);
    ck_assert_int_eq(err.code, NSP_E_PROTOCOL);
    ck_assert_uint_eq(minor, 9);
}
END_TEST

static Suite *suite(void)
{
    Suite *suite = suite_create("frame");
    TCase *tests = tcase_create("frame");
    tcase_add_loop_test(tests, a_frame_is_laid_out_as_the_protocol_has_it, 0, KNOWN);
    tcase_add_loop_test(tests, a_frame_is_read_as_it_was_written, 0, KNOWN);
    tcase_add_loop_test(tests, a_malformed_header_is_refused, 0, MALFORMED);
    tcase_add_test(tests, data_must_not_be_empty);
    tcase_add_test(tests, a_message_may_end_in_one_byte);
    tcase_add_test(tests, types_have_names);
    tcase_add_test(tests, numbers_are_big_endian);
    tcase_add_test(tests, the_preface_is_ours);
    tcase_add_test(tests, a_newer_minor_version_is_accepted);
    tcase_add_test(tests, another_major_version_is_version_and_junk_is_protocol);
    suite_add_tcase(suite, tests);
    return suite;
}

UNIT_MAIN(suite)
