#include "agent/os/signame.h"

#include <signal.h>
#include <string.h>

#include "tests/support/unit.h"

START_TEST(names_are_known_with_and_without_sig_in_any_case)
{
    ck_assert_int_eq(signame_number("TERM"), SIGTERM);
    ck_assert_int_eq(signame_number("SIGTERM"), SIGTERM);
    ck_assert_int_eq(signame_number("sigkill"), SIGKILL);
    ck_assert_int_eq(signame_number("Hup"), SIGHUP);
    ck_assert_int_eq(signame_number("USR1"), SIGUSR1);
    ck_assert_int_eq(signame_number("WINCH"), SIGWINCH);
}
END_TEST

START_TEST(other_names_of_a_signal_are_known)
{
    ck_assert_int_eq(signame_number("CLD"), SIGCHLD);
    ck_assert_int_eq(signame_number("SIGIOT"), SIGABRT);
    ck_assert_int_eq(signame_number("POLL"), SIGIO);
    ck_assert_int_eq(signame_number("IO"), SIGIO);
}
END_TEST

START_TEST(numbers_are_signals_from_one_on)
{
    ck_assert_int_eq(signame_number("1"), 1);
    ck_assert_int_eq(signame_number("15"), SIGTERM);
    ck_assert_int_eq(signame_number("64"), 64);
    ck_assert_int_eq(signame_number("0"), -1);
    ck_assert_int_eq(signame_number("65"), -1);
    ck_assert_int_eq(signame_number("-9"), -1);
    ck_assert_int_eq(signame_number("+9"), -1);
    ck_assert_int_eq(signame_number(" 9"), -1);
    ck_assert_int_eq(signame_number("9x"), -1);
    ck_assert_int_eq(signame_number("4294967305"), -1);
    ck_assert_int_eq(signame_number("99999999999999999999"), -1);
}
END_TEST

START_TEST(realtime_signals_are_counted_from_either_end)
{
    ck_assert_int_eq(signame_number("RTMIN"), SIGRTMIN);
    ck_assert_int_eq(signame_number("SIGRTMIN+3"), SIGRTMIN + 3);
    ck_assert_int_eq(signame_number("RTMAX"), SIGRTMAX);
    ck_assert_int_eq(signame_number("rtmax-1"), SIGRTMAX - 1);
    ck_assert_int_eq(signame_number("RTMIN-1"), -1);
    ck_assert_int_eq(signame_number("RTMAX+1"), -1);
    ck_assert_int_eq(signame_number("RTMIN+31"), -1);
    ck_assert_int_eq(signame_number("RTMIN+"), -1);
    ck_assert_int_eq(signame_number("RTMINX"), -1);
    ck_assert_int_eq(signame_number("RTMAX-64"), -1);
}
END_TEST

START_TEST(what_is_no_signal_is_none)
{
    ck_assert_int_eq(signame_number(""), -1);
    ck_assert_int_eq(signame_number("SIG"), -1);
    ck_assert_int_eq(signame_number("SIGSIGTERM"), -1);
    ck_assert_int_eq(signame_number("TERMX"), -1);
}
END_TEST

START_TEST(every_number_has_a_name_that_leads_back)
{
    char name[SIGNAME_SIZE];
    ck_assert_str_eq(signame_name(SIGTERM, name), "SIGTERM");
    ck_assert_str_eq(signame_name(SIGRTMIN, name), "SIGRTMIN");
    ck_assert_str_eq(signame_name(SIGRTMIN + 3, name), "SIGRTMIN+3");
    ck_assert_str_eq(signame_name(33, name), "SIG33"); /* libc keeps it for itself */
    ck_assert_str_eq(signame_name(1000, name), "SIG1000");
    for (int number = 1; number <= SIGRTMAX; number++)
        if (number < 32 || number >= SIGRTMIN)
            ck_assert_int_eq(signame_number(signame_name(number, name)), number);
}
END_TEST

static Suite *suite(void)
{
    Suite *all = suite_create("signame");
    TCase *names = tcase_create("names");
    tcase_add_test(names, names_are_known_with_and_without_sig_in_any_case);
    tcase_add_test(names, other_names_of_a_signal_are_known);
    tcase_add_test(names, numbers_are_signals_from_one_on);
    tcase_add_test(names, realtime_signals_are_counted_from_either_end);
    tcase_add_test(names, what_is_no_signal_is_none);
    tcase_add_test(names, every_number_has_a_name_that_leads_back);
    suite_add_tcase(all, names);
    return all;
}

UNIT_MAIN(suite)
