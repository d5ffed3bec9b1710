/* The supervisor's table: what each event does in each state. */
#include "init/transitions.h"

#include <stdbool.h>

#include "tests/support/unit.h"

/* Everything that the table may do; what is not here does nothing. */
static const struct row {
    enum state state;
    enum event event;
    enum state next;
    enum action action;
} rows[] = {
    {STATE_STARTING, EVENT_READY, STATE_RUNNING, ACTION_NONE},
    {STATE_STARTING, EVENT_AGENT_DIED, STATE_BACKING_OFF, ACTION_BACK_OFF},
    {STATE_STARTING, EVENT_AGENT_REFUSED, STATE_DONE, ACTION_REFUSE},
    {STATE_STARTING, EVENT_STOP, STATE_TERMINATING, ACTION_TERMINATE},
    {STATE_RUNNING, EVENT_AGENT_DIED, STATE_BACKING_OFF, ACTION_BACK_OFF},
    {STATE_RUNNING, EVENT_AGENT_REFUSED, STATE_BACKING_OFF, ACTION_BACK_OFF},
    {STATE_RUNNING, EVENT_STOP, STATE_TERMINATING, ACTION_TERMINATE},
    {STATE_BACKING_OFF, EVENT_AGENT_DIED, STATE_BACKING_OFF, ACTION_BACK_OFF},
    {STATE_BACKING_OFF, EVENT_TIMER, STATE_STARTING, ACTION_START_AGENT},
    {STATE_BACKING_OFF, EVENT_STOP, STATE_TERMINATING, ACTION_TERMINATE},
    {STATE_TERMINATING, EVENT_TIMER, STATE_KILLING, ACTION_KILL_ALL},
    {STATE_TERMINATING, EVENT_STOP, STATE_KILLING, ACTION_KILL_ALL},
    {STATE_TERMINATING, EVENT_WORKLESS, STATE_ENDING_AGENT, ACTION_END_AGENT},
    {STATE_KILLING, EVENT_REAPED, STATE_NONE, ACTION_KILL_REST},
    {STATE_KILLING, EVENT_TIMER, STATE_ENDING_AGENT, ACTION_GIVE_UP},
    {STATE_KILLING, EVENT_WORKLESS, STATE_ENDING_AGENT, ACTION_END_AGENT},
    {STATE_ENDING_AGENT, EVENT_AGENT_DIED, STATE_DONE, ACTION_NONE},
    {STATE_ENDING_AGENT, EVENT_AGENT_REFUSED, STATE_DONE, ACTION_NONE},
    {STATE_ENDING_AGENT, EVENT_TIMER, STATE_KILLING_AGENT, ACTION_KILL_AGENT},
    {STATE_ENDING_AGENT, EVENT_STOP, STATE_KILLING_AGENT, ACTION_KILL_AGENT},
    {STATE_KILLING_AGENT, EVENT_AGENT_DIED, STATE_DONE, ACTION_NONE},
    {STATE_KILLING_AGENT, EVENT_AGENT_REFUSED, STATE_DONE, ACTION_NONE},
    {STATE_KILLING_AGENT, EVENT_TIMER, STATE_DONE, ACTION_NONE},
};

static struct transition expected(enum state state, enum event event)
{
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (rows[i].state == state && rows[i].event == event)
            return (struct transition){rows[i].next, rows[i].action};
    return (struct transition){STATE_NONE, ACTION_NONE};
}

START_TEST(every_event_does_in_every_state_what_it_should)
{
    for (int state = 0; state < STATE_COUNT; state++)
        for (int event = 0; event < EVENT_COUNT; event++) {
            struct transition want = expected((enum state)state, (enum event)event);
            struct transition got = transitions_after((enum state)state, (enum event)event);
            ck_assert_msg(got.next == want.next && got.action == want.action,
                          "state %s, event %d: next %s, action %d",
                          transitions_state_name((enum state)state), event,
                          transitions_state_name(got.next), (int)got.action);
        }
}
END_TEST

/* Only by events that nobody has to wait for: our own clock, and the agent's death after KILL. */
static bool reaches_done(enum state state)
{
    static const enum event sure[] = {EVENT_STOP, EVENT_TIMER, EVENT_AGENT_DIED};
    for (unsigned steps = 0; steps < STATE_COUNT && state != STATE_DONE; steps++) {
        enum state next = STATE_NONE;
        for (unsigned i = 0; i < sizeof sure / sizeof sure[0]; i++) {
            struct transition after = transitions_after(state, sure[i]);
            if (after.next > state)
                next = after.next;
        }
        if (next == STATE_NONE)
            return false;
        state = next;
    }
    return state == STATE_DONE;
}

START_TEST(no_state_is_a_dead_end)
{
    for (int state = STATE_STARTING; state < STATE_COUNT; state++)
        ck_assert_msg(reaches_done((enum state)state), "%s",
                      transitions_state_name((enum state)state));
}
END_TEST

START_TEST(a_request_to_end_moves_every_state_before_the_last_wait_forward)
{
    for (int state = STATE_STARTING; state < STATE_KILLING; state++)
        ck_assert_int_gt(transitions_after((enum state)state, EVENT_STOP).next, state);
}
END_TEST

START_TEST(once_it_ends_no_agent_is_started_any_more)
{
    for (int state = STATE_TERMINATING; state < STATE_COUNT; state++)
        for (int event = 0; event < EVENT_COUNT; event++) {
            struct transition after = transitions_after((enum state)state, (enum event)event);
            ck_assert_int_ne(after.action, ACTION_START_AGENT);
            ck_assert(after.next == STATE_NONE || after.next > (enum state)state);
        }
}
END_TEST

START_TEST(every_state_has_a_name_of_its_own)
{
    for (int a = 0; a < STATE_COUNT; a++)
        for (int b = 0; b < a; b++)
            ck_assert_str_ne(transitions_state_name((enum state)a),
                             transitions_state_name((enum state)b));
}
END_TEST

static Suite *suite(void)
{
    Suite *all = suite_create("transitions");
    TCase *table = tcase_create("table");
    tcase_add_test(table, every_event_does_in_every_state_what_it_should);
    tcase_add_test(table, no_state_is_a_dead_end);
    tcase_add_test(table, a_request_to_end_moves_every_state_before_the_last_wait_forward);
    tcase_add_test(table, once_it_ends_no_agent_is_started_any_more);
    tcase_add_test(table, every_state_has_a_name_of_its_own);
    suite_add_tcase(all, table);
    return all;
}

UNIT_MAIN(suite)
