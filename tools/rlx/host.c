/* rlx/host.c: POSIX. */
#define _XOPEN_SOURCE 700
#define _DARWIN_C_SOURCE /* ru_maxrss */

#include "host.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"

/* --- interruption */

static volatile sig_atomic_t held, interrupted;

static void on_interrupt(int signal_number) {
  (void)signal_number;
  if (!held) _exit(EXIT_INTERRUPTED);
  interrupted = 1;
}

void host_hold_interrupts(void) { held = 1; }

void host_release_interrupts(void) {
  held = 0;
  if (interrupted) _exit(EXIT_INTERRUPTED);
}

void host_start(void) {
  for (int fd = 0; fd <= 2; fd++) {
    /* Opened the wrong way round, so that using it is still an error. */
    if (fcntl(fd, F_GETFD) < 0) (void)!open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY);
  }
  struct sigaction action = {.sa_handler = on_interrupt, .sa_flags = SA_RESTART};
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, NULL);
  action.sa_handler = SIG_IGN;
  sigaction(SIGPIPE, &action, NULL);
}

/* --- clock and memory */

double host_now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

double host_peak_rss_mb(void) {
  struct rusage usage;
  if (getrusage(RUSAGE_SELF, &usage) != 0) return 0;
#ifdef __APPLE__
  return (double)usage.ru_maxrss / (1 << 20); /* bytes */
#else
  return (double)usage.ru_maxrss / (1 << 10); /* KiB */
#endif
}

/* --- writing */

static bool write_all(int fd, const char *data, size_t n) {
  while (n > 0) {
    ssize_t done = write(fd, data, n);
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) return false;
    data += done;
    n -= (size_t)done;
  }
  return true;
}

bool host_write_stdout(const char *data, size_t n) { return write_all(STDOUT_FILENO, data, n); }

/* To a name beside it, then renamed. Links are followed first, since renaming would replace them
 * (/dev/stdout is one), and what is no regular file is written as it is. */
static int write_file(const char *path, const char *data, size_t n) {
  struct stat st;
  bool direct = stat(path, &st) == 0 && !S_ISREG(st.st_mode);
  char *real = realpath(path, NULL); /* NULL: a new file */
  const char *target = real && !direct ? real : path;
  text name = {0};
  text_add(&name, target);
  if (!direct) text_addf(&name, ".%ld.tmp", (long)getpid());
  int fd = open(name.data, direct ? O_WRONLY : O_WRONLY | O_CREAT | O_EXCL, 0666);
  int error = fd < 0 || !write_all(fd, data, n) ? errno : 0;
  if (fd >= 0 && close(fd) != 0 && !error) error = errno;
  if (!error && !direct && rename(name.data, target) != 0) error = errno;
  if (error && !direct && fd >= 0) unlink(name.data);
  text_free(&name);
  free(real);
  return error;
}

bool host_write_file(const char *path, const char *data, size_t n) {
  host_hold_interrupts();
  int error = write_file(path, data, n);
  host_release_interrupts();
  errno = error;
  return error == 0;
}

/* The folder that holds a path, as text: "." if it names none. */
static text parent_of(const char *path) {
  text parent = {0};
  text_add(&parent, strchr(path, '/') ? path : ".");
  char *slash = strrchr(parent.data, '/');
  if (slash) slash[slash == parent.data] = '\0';
  return parent;
}

bool host_can_write(const char *path) {
  struct stat st;
  bool there = stat(path, &st) == 0;
  if (there && S_ISDIR(st.st_mode)) {
    errno = EISDIR;
    return false;
  }
  if (there && !S_ISREG(st.st_mode)) return access(path, W_OK) == 0;
  text parent = parent_of(path);
  text_add(&parent, "/."); /* so that a parent that is no folder is refused as such */
  bool can = access(parent.data, W_OK | X_OK) == 0;
  text_free(&parent);
  return can;
}

int64_t host_file_bytes(const char *path) {
  struct stat st;
  return stat(path, &st) == 0 ? (int64_t)st.st_size : -1;
}

/* --- terminal */

void host_set(const char *variable, const char *value) { setenv(variable, value, 1); }

bool host_colour(void) {
  const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
  return isatty(STDOUT_FILENO) && !(no && *no) && term && strcmp(term, "dumb") != 0;
}

enum { QUIET_MS = 2000, REDRAW_MS = 250, LINE_WIDTH = 60 };

static pthread_mutex_t progress_lock = PTHREAD_MUTEX_INITIALIZER;
static char progress_doing[LINE_WIDTH - 20]; /* empty: nothing */
static bool progress_shown;

static void *progress_run(void *start) {
  double started = *(double *)start;
  free(start);
  for (;;) {
    nanosleep(&(struct timespec){.tv_nsec = REDRAW_MS * 1000000L}, NULL);
    double ms = host_now_ms() - started;
    pthread_mutex_lock(&progress_lock);
    if (*progress_doing && ms >= QUIET_MS) {
      fprintf(stderr, "\rrlx: %s, %.0f s ", progress_doing, ms / 1e3);
      progress_shown = true;
    }
    pthread_mutex_unlock(&progress_lock);
  }
  return NULL;
}

static void progress_start(void) {
  double *start = must_alloc(1, sizeof *start);
  *start = host_now_ms();
  pthread_t thread;
  if (pthread_create(&thread, NULL, progress_run, start) == 0) {
    pthread_detach(thread);
  } else {
    free(start); /* no line then */
  }
}

void host_progress(const char *doing) {
  static bool started;
  if (!isatty(STDERR_FILENO)) return;
  if (!started && doing) progress_start();
  started = started || doing;
  pthread_mutex_lock(&progress_lock);
  snprintf(progress_doing, sizeof progress_doing, "%s", doing ? doing : "");
  if (progress_shown) fprintf(stderr, "\r%*s\r", LINE_WIDTH, "");
  progress_shown = false;
  pthread_mutex_unlock(&progress_lock);
}

/* --- folders */

host_folder host_folder_state(const char *path) {
  struct stat st;
  if (stat(path, &st) == 0) {
    return S_ISDIR(st.st_mode) && access(path, W_OK | X_OK) == 0 ? FOLDER_WRITABLE : FOLDER_REFUSED;
  }
  if (errno != ENOENT) return FOLDER_REFUSED;
  text parent = parent_of(path);
  bool at_top = strcmp(parent.data, path) == 0;
  host_folder state = at_top ? FOLDER_REFUSED : host_folder_state(parent.data);
  text_free(&parent);
  return state == FOLDER_REFUSED ? FOLDER_REFUSED : FOLDER_MAKEABLE;
}

bool host_is_there(const char *path) { return access(path, F_OK) == 0; }

static int by_name(const void *a, const void *b) {
  return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool is_folder(const char *path, const char *name) {
  struct stat st;
  text full = {0};
  text_addf(&full, "%s/%s", path, name);
  bool yes = stat(full.data, &st) == 0 && S_ISDIR(st.st_mode);
  text_free(&full);
  return yes;
}

bool host_list_folders(const char *path, const char *pattern, host_names *out_names) {
  *out_names = (host_names){0};
  DIR *folder = opendir(path);
  if (!folder) return false;
  size_t room = 0;
  for (struct dirent *e; (e = readdir(folder));) {
    if (e->d_name[0] == '.' || (pattern && fnmatch(pattern, e->d_name, 0) != 0)) continue;
    if (!is_folder(path, e->d_name)) continue;
    out_names->data = must_grow(out_names->data, out_names->n, &room, sizeof *out_names->data);
    text name = {0};
    text_add(&name, e->d_name);
    out_names->data[out_names->n++] = name.data;
  }
  closedir(folder);
  if (out_names->n) qsort(out_names->data, out_names->n, sizeof *out_names->data, by_name);
  return true;
}

void host_free_names(host_names *names) {
  for (size_t i = 0; i < names->n; i++) free(names->data[i]);
  free(names->data);
}

/* --- a child */

static void child_main(void (*work)(void *arg, text *out), void *arg, unsigned seconds, int to) {
  int silent = open("/dev/null", O_RDWR);
  for (int fd = 0; fd <= 2; fd++) dup2(silent, fd);
  signal(SIGINT, SIG_DFL);
  signal(SIGALRM, SIG_DFL); /* the time limit, which nothing in the child can miss */
  alarm(seconds);
  text said = {0};
  work(arg, &said);
  _exit(write_all(to, said.data, said.n) ? EXIT_OK : EXIT_FAILED);
}

static void read_all(int fd, text *out) {
  char part[4096];
  for (;;) {
    ssize_t n = read(fd, part, sizeof part - 1);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return;
    part[n] = '\0';
    text_add(out, part);
  }
}

host_end host_do_apart(void (*work)(void *arg, text *out), void *arg, unsigned seconds, text *out,
                       int *out_signal) {
  int ends[2], state = 0;
  *out_signal = 0;
  if (pipe(ends) != 0) return CHILD_FAILED;
  pid_t child = fork();
  if (child == 0) {
    close(ends[0]);
    child_main(work, arg, seconds, ends[1]);
  }
  int error = errno;
  close(ends[1]);
  if (child > 0) read_all(ends[0], out);
  close(ends[0]);
  errno = error;
  if (child < 0) return CHILD_FAILED;
  while (waitpid(child, &state, 0) < 0 && errno == EINTR) continue;
  if (WIFSIGNALED(state)) *out_signal = WTERMSIG(state);
  if (*out_signal == SIGALRM) return CHILD_LATE;
  return WIFEXITED(state) && WEXITSTATUS(state) == EXIT_OK ? CHILD_DONE : CHILD_CRASHED;
}
