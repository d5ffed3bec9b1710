/* Which command for reboot(2) ends the machine. */
#include "agent/machine/power.h"

#include <stdbool.h>
#include <sys/reboot.h>
#include <unistd.h>

#include "tests/support/unit.h"

START_TEST(every_action_is_found_by_its_name)
{
    static const char *const expected[] = {"poweroff", "reboot", "halt"};
    for (int i = 0; i < POWER_ACTION_COUNT; i++) {
        enum power_action action = POWER_ACTION_COUNT;
        ck_assert_str_eq(power_action_name((enum power_action)i), expected[i]);
        ck_assert_int_eq(power_action_by_name(expected[i], &action), 0);
        ck_assert_int_eq(action, i);
    }
}
END_TEST

START_TEST(another_name_is_no_action_and_changes_nothing)
{
    static const char *const wrong[] = {"", "off", "Reboot", "reboot ", "auto"};
    enum power_action action = POWER_HALT;
    for (unsigned i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        ck_assert_int_eq(power_action_by_name(wrong[i], &action), -1);
    ck_assert_int_eq(action, POWER_HALT);
    ck_assert_str_eq(power_action_name(POWER_ACTION_COUNT), "?");
}
END_TEST

START_TEST(every_variant_is_found_by_its_name)
{
    static const char *const expected[] = {"auto", "poweroff", "reboot"};
    enum power_variant variant = POWER_VARIANT_COUNT;
    for (int i = 0; i < POWER_VARIANT_COUNT; i++) {
        ck_assert_int_eq(power_variant_by_name(expected[i], &variant), 0);
        ck_assert_int_eq(variant, i);
    }
    ck_assert_int_eq(power_variant_by_name("halt", &variant), -1);
    ck_assert_int_eq(variant, POWER_VARIANT_REBOOT);
}
END_TEST

START_TEST(the_variant_concerns_only_switching_off)
{
    static const enum power_variant variants[] = {POWER_VARIANT_OFF, POWER_VARIANT_REBOOT};
    for (unsigned i = 0; i < 2; i++) {
        ck_assert_int_eq(power_command(POWER_REBOOT, variants[i]), (int)RB_AUTOBOOT);
        ck_assert_int_eq(power_command(POWER_HALT, variants[i]), (int)RB_HALT_SYSTEM);
    }
    ck_assert_int_eq(power_command(POWER_OFF, POWER_VARIANT_OFF), (int)RB_POWER_OFF);
    ck_assert_int_eq(power_command(POWER_OFF, POWER_VARIANT_REBOOT), (int)RB_AUTOBOOT);
}
END_TEST

START_TEST(without_a_reset_key_the_machine_is_switched_off)
{
    ck_assert_int_eq(power_detect(0), POWER_VARIANT_OFF);
}
END_TEST

START_TEST(a_reset_key_counts_where_no_firmware_describes_the_machine)
{
#if defined __x86_64__ || defined __i386__
    bool has_firmware = access("/sys/class/dmi/id/sys_vendor", F_OK) == 0;
#else
    bool has_firmware = true;
#endif
    ck_assert_int_eq(power_detect(1), has_firmware ? POWER_VARIANT_OFF : POWER_VARIANT_REBOOT);
}
END_TEST

static Suite *suite(void)
{
    Suite *all = suite_create("power");
    TCase *commands = tcase_create("commands");
    tcase_add_test(commands, every_action_is_found_by_its_name);
    tcase_add_test(commands, another_name_is_no_action_and_changes_nothing);
    tcase_add_test(commands, every_variant_is_found_by_its_name);
    tcase_add_test(commands, the_variant_concerns_only_switching_off);
    tcase_add_test(commands, without_a_reset_key_the_machine_is_switched_off);
    tcase_add_test(commands, a_reset_key_counts_where_no_firmware_describes_the_machine);
    suite_add_tcase(all, commands);
    return all;
}

UNIT_MAIN(suite)
