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

bool host_colour(void); /* standard output is a terminal that wants colour */

/* What the command is doing now, shown on a terminal's stderr once it has taken over two seconds in
 * all. NULL: nothing, and the line is wiped. */
void host_progress(const char *doing);

/* Can files be made in `path`, or, where it does not exist, can it be made? */
typedef enum host_folder { FOLDER_WRITABLE, FOLDER_MAKEABLE, FOLDER_REFUSED } host_folder;
host_folder host_folder_state(const char *path);

#endif
