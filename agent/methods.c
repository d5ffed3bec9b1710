#include "agent/methods.h"

int methods_add_all(struct dispatch *dispatch, const struct methods *services,
                    struct nsp_error *err)
{
    const struct {
        const struct method *(*methods)(size_t *ret_count);
        void *service;
    } areas[] = {
        {system_methods, services->system},   {process_methods, services->process},
        {logs_methods, services->logs},       {guest_methods, services->guest},
        {service_methods, services->service}, {net_methods, NULL},
    };
    for (size_t i = 0; i < sizeof areas / sizeof areas[0]; i++) {
        size_t count;
        const struct method *methods = areas[i].methods(&count);
        if (dispatch_add(dispatch, methods, count, areas[i].service, err) < 0)
            return -1;
    }
    return 0;
}
