/* The process table in shared memory. */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "agent/os/memfd.h"
#include "agent/process/table.h"
#include "tests/support/unit.h"

static struct table table;
static int fd;

static void setup(void)
{
    ck_assert_int_eq(table_create(&table, &fd, NULL), 0);
}

static void teardown(void)
{
    table_close(&table);
    close(fd);
}

static struct table_record *begin(unsigned slot)
{
    struct table_record *record = table_begin(&table, slot);
    for (unsigned i = 0; i < TABLE_OUTPUTS; i++)
        ring_init_state(&record->outputs[i].ring, NSP_LIMIT_RING_MIN);
    return record;
}

START_TEST(a_new_table_is_free_and_untouched)
{
    ck_assert_uint_eq(table.header->highest, 0);
    ck_assert_uint_eq(table.header->agent_starts, 0);
    ck_assert_int_eq(table.header->output_stage.phase, TABLE_STAGE_EMPTY);
    ck_assert_int_eq(table.records[0].state, TABLE_FREE);
    ck_assert_int_eq(table.records[TABLE_SLOTS - 1].state, TABLE_FREE);
    ck_assert_int_ne(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
}
END_TEST

START_TEST(what_is_written_is_found_by_who_opens_it)
{
    struct table other;
    memcpy(begin(7)->id, "job", 4);
    table.header->agent_starts = 5;
    ck_assert_int_eq(table_open(&other, fd, NULL), 0);
    ck_assert_str_eq(other.records[7].id, "job");
    ck_assert_uint_eq(other.header->agent_starts, 5);
    ck_assert_uint_eq(other.header->highest, 8);
    other.records[7].pid = 42;
    ck_assert_int_eq(table.records[7].pid, 42);
    table_close(&other);
    ck_assert_ptr_null(other.header);
    table_close(&other);
}
END_TEST

START_TEST(a_record_begins_cleared_with_a_generation_of_its_own)
{
    struct table_record *record = begin(0);
    uint32_t first = record->generation;
    ck_assert_uint_ne(first, 0);
    ck_assert_int_eq(record->state, TABLE_STARTING);
    memset(record->holds, 0xff, sizeof record->holds);
    record->timeout_at = 1;
    record->argv_length = 99;
    record->argv_cut = true;
    memcpy(record->key, "key", 4);
    table_end(&table, 0);
    ck_assert_int_eq(record->state, TABLE_FREE);
    ck_assert_ptr_eq(begin(0), record);
    ck_assert_uint_ne(record->generation, first);
    ck_assert_uint_eq(record->timeout_at, 0);
    ck_assert_uint_eq(record->argv_length, 0);
    ck_assert(!record->argv_cut);
    ck_assert_str_eq(record->key, "");
    ck_assert_int_eq(record->holds[NSP_LIMIT_READERS - 1].state, TABLE_HOLD_FREE);
}
END_TEST

START_TEST(a_generation_is_never_zero)
{
    table.header->next_generation = UINT64_C(0x100000000);
    ck_assert_uint_eq(begin(0)->generation, 1);
}
END_TEST

START_TEST(the_highest_slot_does_not_go_down)
{
    begin(9);
    begin(3);
    table_end(&table, 9);
    ck_assert_uint_eq(table.header->highest, 10);
    begin(TABLE_SLOTS - 1);
    ck_assert_uint_eq(table.header->highest, TABLE_SLOTS);
}
END_TEST

START_TEST(a_memory_of_another_size_is_refused)
{
    struct table other = {0};
    struct nsp_error err = NSP_ERROR_INIT;
    int small = -1;
    ck_assert_int_eq(memfd_new("small", 4096, &small, NULL), 0);
    ck_assert_int_eq(table_open(&other, small, &err), -1);
    ck_assert_int_eq(err.code, NSP_E_UNSUPPORTED);
    ck_assert_ptr_null(other.header);
    close(small);
    ck_assert_int_eq(table_open(&other, -1, &err), -1);
    ck_assert_int_eq(err.code, NSP_E_SYSTEM);
}
END_TEST

START_TEST(a_table_of_another_layout_is_refused)
{
    struct table other = {0};
    struct nsp_error err = NSP_ERROR_INIT;
    struct table_header good = *table.header;
    for (int what = 0; what < 4; what++) {
        *table.header = good;
        table.header->magic += what == 0;
        table.header->record_size += what == 1;
        table.header->slots += what == 2;
        table.header->highest = what == 3 ? TABLE_SLOTS + 1 : 0;
        ck_assert_int_eq(table_open(&other, fd, &err), -1);
        ck_assert_int_eq(err.code, NSP_E_STATE);
        ck_assert_ptr_null(other.header);
    }
    *table.header = good;
    ck_assert_int_eq(table_open(&other, fd, &err), 0);
    table_close(&other);
}
END_TEST

START_TEST(a_record_that_is_possible_is_valid)
{
    struct table_record *record = begin(0);
    ck_assert(table_record_valid(record));
    memset(record->id, 'x', NSP_LIMIT_ID);
    record->argv_length = sizeof record->argv;
    record->cwd_length = sizeof record->cwd;
    record->state = TABLE_EXITED;
    record->outputs[0].ring.head = record->outputs[0].ring.tail = 1000000;
    ck_assert(table_record_valid(record));
}
END_TEST

static void spoil(struct table_record *record, int what)
{
    switch (what) {
    case 0:
        record->state = TABLE_STATES;
        break;
    case 1:
        record->generation = 0;
        break;
    case 2:
        memset(record->id, 'x', sizeof record->id);
        break;
    case 3:
        memset(record->key, 'x', sizeof record->key);
        break;
    case 4:
        record->argv_length = sizeof record->argv + 1;
        break;
    case 5:
        record->cwd_length = sizeof record->cwd + 1;
        break;
    case 6:
        record->outputs[0].ring.tail = 1;
        break;
    case 7:
        record->outputs[1].ring.size = 3;
        break;
    case 8:
        record->outputs[1].ring.size_max *= 2;
        break;
    case 9:
        record->outputs[0].ring.size_max = record->outputs[1].ring.size_max =
            2 * (uint64_t)NSP_LIMIT_RING_MAX;
        break;
    }
}

START_TEST(a_record_that_is_impossible_is_not)
{
    struct table_record good = *begin(0);
    for (int what = 0; what <= 9; what++) {
        struct table_record record = good;
        spoil(&record, what);
        ck_assert_msg(!table_record_valid(&record), "case %d", what);
    }
    ck_assert(table_record_valid(&good));
}
END_TEST

static Suite *suite(void)
{
    Suite *result = suite_create("table");
    TCase *tests = tcase_create("table");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, a_new_table_is_free_and_untouched);
    tcase_add_test(tests, what_is_written_is_found_by_who_opens_it);
    tcase_add_test(tests, a_record_begins_cleared_with_a_generation_of_its_own);
    tcase_add_test(tests, a_generation_is_never_zero);
    tcase_add_test(tests, the_highest_slot_does_not_go_down);
    tcase_add_test(tests, a_memory_of_another_size_is_refused);
    tcase_add_test(tests, a_table_of_another_layout_is_refused);
    tcase_add_test(tests, a_record_that_is_possible_is_valid);
    tcase_add_test(tests, a_record_that_is_impossible_is_not);
    suite_add_tcase(result, tests);
    return result;
}

UNIT_MAIN(suite)
