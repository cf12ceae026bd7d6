/* app_event.c - what workers ask of the control thread: a list under a lock that is held for a few instructions, rarely used
 *
 * The nodes are embedded in what they are about and each is posted once at a time, so that posting cannot fail. */
#include "server/app/app_internal.h"

#include <unistd.h>

void app_event_post(struct app_server *as, struct app_event *e)
{
    uint64_t one = 1;

    e->next = NULL;
    pthread_mutex_lock(&as->event_lock);
    *as->events_tail = e;
    as->events_tail = &e->next;
    pthread_mutex_unlock(&as->event_lock);
    ssize_t n = write(as->event_fd, &one, sizeof(one));
    (void)n; /* full = already readable */
}

struct app_event *app_event_take_all(struct app_server *as)
{
    struct app_event *first;

    pthread_mutex_lock(&as->event_lock);
    first = as->events;
    as->events = NULL;
    as->events_tail = &as->events;
    pthread_mutex_unlock(&as->event_lock);
    return first;
}
