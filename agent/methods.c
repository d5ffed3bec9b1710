#include "agent/methods.h"

int methods_add_all(struct dispatch *dispatch, struct system_service *system,
                    struct process_service *process, struct nsp_error *err)
{
    size_t count;
    const struct method *methods = system_methods(&count);
    if (dispatch_add(dispatch, methods, count, system, err) < 0)
        return -1;
    return dispatch_add(dispatch, process_methods, process_method_count, process, err);
}
