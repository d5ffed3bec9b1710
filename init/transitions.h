/* The states of the supervisor: what may happen in each, where that leads, and what is to be done.
 * A pure table; supervisor.c raises the events and has the actions.
 *
 *                   READY    AGENT_DIED    TIMER          STOP           WORKLESS
 *   STARTING     -> RUNNING  BACKING_OFF   -              TERMINATING    -
 *   RUNNING      -> -        BACKING_OFF   -              TERMINATING    -
 *   BACKING_OFF  -> -        BACKING_OFF   STARTING       TERMINATING    -
 *   TERMINATING  -> -        -             KILLING        KILLING        ENDING_AGENT
 *   KILLING      -> -        -             ENDING_AGENT   -              ENDING_AGENT
 *   ENDING_AGENT -> -        DONE          KILLING_AGENT  KILLING_AGENT  -
 *   KILLING_AGENT-> -        DONE          DONE           -              -
 *
 * The workload ends first and the agent last, so that it can still tell its clients how everything
 * ended. An agent that exits before it was ever READY has refused to start (AGENT_REFUSED): that
 * ends a supervisor that is not PID 1.
 */
#ifndef INIT_TRANSITIONS_H
#define INIT_TRANSITIONS_H

enum state {
    STATE_NONE, /* in a transition: the state stays */
    STATE_STARTING,
    STATE_RUNNING,
    STATE_BACKING_OFF,
    STATE_TERMINATING,
    STATE_KILLING,
    STATE_ENDING_AGENT,
    STATE_KILLING_AGENT,
    STATE_DONE,
    STATE_COUNT
};

enum event {
    EVENT_READY,
    EVENT_AGENT_DIED,
    EVENT_AGENT_REFUSED,
    EVENT_TIMER,
    EVENT_STOP,
    EVENT_REAPED,   /* children of a dead process may be ours now */
    EVENT_WORKLESS, /* nothing but the agent is left */
    EVENT_COUNT
};

enum action {
    ACTION_NONE,
    ACTION_START_AGENT,
    ACTION_BACK_OFF,
    ACTION_REFUSE,
    ACTION_TERMINATE,
    ACTION_KILL_ALL,
    ACTION_KILL_REST,
    ACTION_GIVE_UP,
    ACTION_END_AGENT,
    ACTION_KILL_AGENT,
    ACTION_COUNT
};

struct transition {
    enum state next;
    enum action action;
};

struct transition transitions_after(enum state state, enum event event);
const char *transitions_state_name(enum state state);

#endif
