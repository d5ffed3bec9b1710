#include "agent/schema/service.h"

const char *service_state_name(enum service_state state)
{
    static const char *const names[SERVICE_STATE_COUNT] = {
        [SERVICE_WAITING] = "waiting",   [SERVICE_STARTING] = "starting",
        [SERVICE_RUNNING] = "running",   [SERVICE_BACKOFF] = "backoff",
        [SERVICE_STOPPING] = "stopping", [SERVICE_STOPPED] = "stopped",
        [SERVICE_ENDED] = "ended",       [SERVICE_FAILED] = "failed",
    };
    return (unsigned)state < SERVICE_STATE_COUNT ? names[state] : "unknown";
}
