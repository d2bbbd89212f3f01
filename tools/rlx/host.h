/* rlx/host.h: the operating system: clock, memory, terminal, interruption. The only file of the
 * command that goes beyond C11. */
#ifndef HOST_H
#define HOST_H

#include "text.h"

/* Before anything else: closed standard streams become /dev/null, so that no file gets their
 * numbers; a closed pipe becomes an error of the write; an interruption ends with 130. */
void host_start(void);

double host_now_ms(void); /* monotonic */
double host_peak_rss_mb(void);

/* Between these an interruption waits, so that a file being written is finished first. */
void host_hold_interrupts(void);
void host_release_interrupts(void);

/* Writes all of it. False with errno set. */
bool host_write_stdout(const char *data, size_t n);
bool host_write_file(const char *path, const char *data, size_t n);
/* Could a file be written there? False with errno set. */
bool host_can_write(const char *path);
int64_t host_file_bytes(const char *path); /* -1 if there is none */

void host_set(const char *variable, const char *value); /* of the environment */
bool host_colour(void); /* standard output is a terminal that wants colour */

/* What the command is doing now (copied), shown on a terminal's stderr once it has taken over two
 * seconds in all. NULL: nothing, and the line is wiped. */
void host_progress(const char *doing);

/* Can files be made in `path`, or, where it does not exist, can it be made? */
typedef enum host_folder { FOLDER_WRITABLE, FOLDER_MAKEABLE, FOLDER_REFUSED } host_folder;
host_folder host_folder_state(const char *path);
/* The names of the folders in `path` that match a shell pattern (NULL: all), sorted by bytes. False
 * with errno set. host_free_names either way. */
typedef struct host_names {
  char **data;
  size_t n;
} host_names;
bool host_list_folders(const char *path, const char *pattern, host_names *out_names);
void host_free_names(host_names *names);
bool host_is_there(const char *path);

/* Does `work` in a child of its own, which may crash or hang, and takes what it writes into `out`.
 * The child's standard streams are silent. */
typedef enum host_end {
  CHILD_DONE,
  CHILD_LATE,    /* over the time limit */
  CHILD_CRASHED, /* *out_signal says how, 0: it exited */
  CHILD_FAILED   /* could not be started, errno is set */
} host_end;
host_end host_do_apart(void (*work)(void *arg, text *out), void *arg, unsigned seconds, text *out,
                       int *out_signal);

#endif
