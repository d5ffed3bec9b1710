#include "init/transitions.h"

#define GO(event, state, action)                                                                   \
    [EVENT_##event] = {                                                                            \
        STATE_##state,                                                                             \
        ACTION_##action,                                                                           \
    }

/* What is not named changes nothing. */
static const struct transition table[][EVENT_COUNT] = {
    [STATE_STARTING] = {GO(READY, RUNNING, NONE), GO(AGENT_DIED, BACKING_OFF, BACK_OFF),
                        GO(AGENT_REFUSED, DONE, REFUSE), GO(STOP, TERMINATING, TERMINATE)},
    [STATE_RUNNING] = {GO(AGENT_DIED, BACKING_OFF, BACK_OFF),
                       GO(AGENT_REFUSED, BACKING_OFF, BACK_OFF), GO(STOP, TERMINATING, TERMINATE)},
    [STATE_BACKING_OFF] = {GO(AGENT_DIED, BACKING_OFF, BACK_OFF), GO(TIMER, STARTING, START_AGENT),
                           GO(STOP, TERMINATING, TERMINATE)},
    [STATE_TERMINATING] = {GO(TIMER, KILLING, KILL_ALL), GO(STOP, KILLING, KILL_ALL),
                           GO(WORKLESS, ENDING_AGENT, END_AGENT)},
    [STATE_KILLING] = {GO(REAPED, NONE, KILL_REST), GO(TIMER, ENDING_AGENT, GIVE_UP),
                       GO(WORKLESS, ENDING_AGENT, END_AGENT)},
    [STATE_ENDING_AGENT] = {GO(AGENT_DIED, DONE, NONE), GO(AGENT_REFUSED, DONE, NONE),
                            GO(TIMER, KILLING_AGENT, KILL_AGENT),
                            GO(STOP, KILLING_AGENT, KILL_AGENT)},
    [STATE_KILLING_AGENT] = {GO(AGENT_DIED, DONE, NONE), GO(AGENT_REFUSED, DONE, NONE),
                             GO(TIMER, DONE, NONE)},
    [STATE_DONE] = {GO(READY, NONE, NONE)},
};
_Static_assert(sizeof table / sizeof table[0] == STATE_COUNT, "every state has its row");

static const char *const names[] = {
    [STATE_NONE] = "NONE",
    [STATE_STARTING] = "STARTING",
    [STATE_RUNNING] = "RUNNING",
    [STATE_BACKING_OFF] = "BACKING_OFF",
    [STATE_TERMINATING] = "TERMINATING",
    [STATE_KILLING] = "KILLING",
    [STATE_ENDING_AGENT] = "ENDING_AGENT",
    [STATE_KILLING_AGENT] = "KILLING_AGENT",
    [STATE_DONE] = "DONE",
};
_Static_assert(sizeof names / sizeof names[0] == STATE_COUNT, "every state has its name");

struct transition transitions_after(enum state state, enum event event)
{
    return table[state][event];
}

const char *transitions_state_name(enum state state)
{
    return names[state];
}
