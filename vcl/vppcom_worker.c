/* vppcom_worker.c - a thread's own queues to the server */
#include "vcl/vcl_internal.h"
#include "vcl/vppcom_internal.h"

int vppcom_worker_register(void)
{
    int rc;

    if (vcl_worker_index() != 0)
        return VPPCOM_EEXIST;
    rc = vcl_worker_register_thread();
    if (rc < 0)
        return rc;
    rc = vcl_attach();
    if (rc)
        vcl_worker_unregister_thread();
    return rc;
}

void vppcom_worker_unregister(void) { vcl_worker_unregister_thread(); }
int vppcom_worker_index(void) { return (int)vcl_worker_index(); }

void vppcom_worker_index_set(int index)
{
    if (index >= 0)
        vcl_worker_index_set((uint32_t)index); /* an unknown number changes nothing */
}

int vppcom_worker_mqs_epfd(void) { return vcl_event_fd(); }

int vppcom_worker_is_detached(void)
{
    const struct vcl_worker *w = vcl_worker_current();

    return !w || !atomic_load(&w->attached);
}
