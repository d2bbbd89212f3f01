/* base/io.c: files by POSIX calls. */
#define _GNU_SOURCE /* realpath, madvise */
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"

static rlx_status failed(const char *what, const char *path) {
  return status_set(RLX_ERROR_IO, "%s: cannot %s: %s", path, what, strerror(errno));
}

/* --- reading */

bool io_is_there(const char *path) { return access(path, F_OK) == 0; }

typedef struct mapping {
  io_map map; /* first: what callers see */
  atomic_uint refs;
  struct mapping *next; /* of all that there are */
} mapping;

static mapping *mappings;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* for the list */
static const uint8_t nothing[1];

static rlx_status map_file(int fd, const char *path, uint64_t max_bytes, mapping *m) {
  struct stat st;
  if (fstat(fd, &st) != 0) return failed("examine", path);
  if (!S_ISREG(st.st_mode)) return status_set(RLX_ERROR_IO, "%s: not a regular file", path);
  uint64_t bytes = (uint64_t)st.st_size;
  if ((max_bytes && bytes > max_bytes) || bytes > SIZE_MAX) {
    return status_set(RLX_ERROR_LIMIT, "%s: %llu bytes, at most %llu are allowed", path,
                      (unsigned long long)bytes, (unsigned long long)max_bytes);
  }
  m->map = (io_map){nothing, (size_t)bytes};
  if (bytes == 0) return RLX_OK;
  void *data = mmap(NULL, (size_t)bytes, PROT_READ, MAP_PRIVATE, fd, 0);
  if (data == MAP_FAILED) return failed("map", path);
  m->map.data = data;
  return RLX_OK;
}

rlx_status io_map_open(const char *path, uint64_t max_bytes, io_map **out_map) {
  *out_map = NULL;
  mapping *m = mem_new(1, sizeof *m);
  if (!m) return status_memory(sizeof *m);
  /* Without O_NONBLOCK, opening a pipe that nobody writes would wait for ever. */
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  rlx_status status = fd < 0 ? failed("open", path) : map_file(fd, path, max_bytes, m);
  if (fd >= 0) close(fd);
  if (status != RLX_OK) {
    mem_free(m);
    return status;
  }
  atomic_init(&m->refs, 1);
  pthread_mutex_lock(&mutex);
  m->next = mappings;
  mappings = m;
  pthread_mutex_unlock(&mutex);
  *out_map = &m->map;
  return RLX_OK;
}

io_map *io_map_retain(io_map *map) {
  atomic_fetch_add_explicit(&((mapping *)map)->refs, 1, memory_order_relaxed);
  return map;
}

void io_map_free(void *map) {
  mapping *m = map;
  if (!m || atomic_fetch_sub_explicit(&m->refs, 1, memory_order_acq_rel) != 1) return;
  mapping **link = &mappings;
  pthread_mutex_lock(&mutex);
  while (*link != m) link = &(*link)->next;
  *link = m->next;
  pthread_mutex_unlock(&mutex);
  if (m->map.bytes) munmap((void *)(uintptr_t)m->map.data, m->map.bytes);
  mem_free(m);
}

void io_forget(const void *data, size_t bytes) {
  const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), from = (uintptr_t)data;
  const uintptr_t first = (from + page - 1) / page * page, end = (from + bytes) / page * page;
  if (end <= first) return;
  pthread_mutex_lock(&mutex);
  for (const mapping *m = mappings; m; m = m->next) {
    const uintptr_t begin = (uintptr_t)m->map.data;
    if (from >= begin && bytes <= m->map.bytes && from - begin <= m->map.bytes - bytes)
      madvise((void *)first, end - first, MADV_DONTNEED); /* never written, so it can be read again */
  }
  pthread_mutex_unlock(&mutex);
}

/* --- writing */

struct io_write {
  FILE *file;
  char *path, *aside;
  int error; /* errno of the first failure */
};

static void write_free(io_write *w) {
  mem_free(w->path);
  mem_free(w->aside);
  mem_free(w);
}

/* Creates a file beside w->path that nobody else has. */
static int open_aside(io_write *w) {
  static atomic_uint serial;
  for (int attempt = 0; attempt < 100; attempt++) {
    str name = {NULL, 0, 0, false};
    str_addf(&name, "%s.%ld-%u.tmp", w->path, (long)getpid(), atomic_fetch_add(&serial, 1));
    if (name.failed) {
      str_free(&name);
      errno = ENOMEM;
      return -1;
    }
    int fd = open(name.data, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd >= 0) {
      w->aside = name.data;
      return fd;
    }
    int why = errno;
    str_free(&name);
    errno = why;
    if (why != EEXIST) return -1;
  }
  return -1;
}

rlx_status io_write_open(const char *path, io_write **out_file) {
  *out_file = NULL;
  /* A rename would replace a device or a pipe by a file. */
  struct stat st;
  if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) {
    return status_set(RLX_ERROR_IO, "%s: not a regular file", path);
  }
  io_write *w = mem_new(1, sizeof *w);
  if (!w) return status_memory(sizeof *w);
  /* A link is followed, or the rename would replace it: /dev/stdout is one. */
  char *real = realpath(path, NULL);
  w->path = mem_strdup(real ? real : path);
  free(real);
  if (!w->path) {
    write_free(w);
    return status_memory(strlen(path) + 1);
  }
  int fd = open_aside(w);
  if (fd >= 0) w->file = fdopen(fd, "wb");
  if (!w->file) {
    rlx_status status = failed("write", path);
    if (fd >= 0) {
      close(fd);
      unlink(w->aside);
    }
    write_free(w);
    return status;
  }
  *out_file = w;
  return RLX_OK;
}

void io_write_bytes(io_write *w, const void *data, size_t bytes) {
  if (w->error || bytes == 0) return;
  if (fwrite(data, 1, bytes, w->file) != bytes) w->error = errno ? errno : EIO;
}

rlx_status io_write_commit(io_write *w) {
  if (fclose(w->file) != 0 && !w->error) w->error = errno;
  if (!w->error && rename(w->aside, w->path) != 0) w->error = errno;
  rlx_status status = RLX_OK;
  if (w->error) {
    errno = w->error;
    status = failed("write", w->path);
    unlink(w->aside);
  }
  write_free(w);
  return status;
}

void io_write_abort(io_write *w) {
  if (!w) return;
  fclose(w->file);
  unlink(w->aside);
  write_free(w);
}

rlx_status io_write_file(const char *path, const str *head, const void *data, size_t bytes) {
  io_write *w;
  if (head->failed) return status_memory(head->cap);
  RLX_TRY(io_write_open(path, &w));
  io_write_bytes(w, head->data, head->n);
  io_write_bytes(w, data, bytes);
  return io_write_commit(w);
}
