/* rlx: the command. Public API only; one file per command, the table of them in cli.h. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "host.h"

/* --- messages */

static void add_message(text *t, const char *format, va_list list) {
  va_list again;
  va_copy(again, list);
  int n = vsnprintf(NULL, 0, format, again);
  va_end(again);
  char *raw = must_alloc((size_t)(n < 0 ? 0 : n) + 1, 1);
  vsnprintf(raw, (size_t)(n < 0 ? 0 : n) + 1, format, list);
  for (char *line = raw, *next; line; line = next) { /* lists in messages keep their lines */
    next = strchr(line, '\n');
    if (next) *next++ = '\0';
    text_add_safe(t, line);
    if (next) text_add(t, "\n");
  }
  free(raw);
}

static void say(text *message) {
  host_progress(NULL);
  fprintf(stderr, "rlx: %s\n", message->data);
  text_free(message);
}

int fail(const char *format, ...) {
  text message = {0};
  va_list list;
  va_start(list, format);
  add_message(&message, format, list);
  va_end(list);
  say(&message);
  return EXIT_FAILED;
}

int fail_usage(const command *c, const char *format, ...) {
  text message = {0};
  va_list list;
  va_start(list, format);
  add_message(&message, format, list);
  va_end(list);
  text_addf(&message, "\nsee 'rlx %s%s--help'", c ? c->name : "", c ? " " : "");
  say(&message);
  return EXIT_USAGE;
}

int fail_status(rlx_status status) {
  const char *sentence = rlx_last_error();
  return fail("%s", *sentence ? sentence : rlx_status_text(status));
}

/* --- running */

/* A reader that went away has what it wanted; any other failure of standard output is ours. */
static int print(const text *out) {
  host_progress(NULL);
  if (!out->n || host_write_stdout(out->data, out->n) || errno == EPIPE) return EXIT_OK;
  return fail("cannot write to standard output: %s", strerror(errno));
}

static int run_command(const command *c, int argc, char **argv, text *out) {
  args a;
  int code = cli_parse(c, argc, argv, &a);
  if (code == EXIT_OK && args_has(&a, FLAG_HELP)) {
    cli_help(c, out);
  } else if (code == EXIT_OK) {
    code = c->run(&a, out);
  }
  args_free(&a);
  return code;
}

static int help_instead(void) {
  text help = {0};
  cli_help(NULL, &help);
  fputs(help.data, stderr);
  text_free(&help);
  return EXIT_USAGE;
}

static bool asks_version(const char *s) {
  return strcmp(s, "--version") == 0 || strcmp(s, "-V") == 0 || strcmp(s, "version") == 0;
}

static int dispatch(int argc, char **argv, text *out) {
  if (argc < 2) return help_instead();
  const char *first = argv[1];
  if (asks_version(first)) {
    if (argc > 2) return fail_usage(NULL, "%s stands alone", first);
    text_addf(out, "rlx %s (MLX %s)\n", rlx_version(), rlx_mlx_version());
    return EXIT_OK;
  }
  bool help = strcmp(first, "--help") == 0 || strcmp(first, "-h") == 0;
  if (!help && first[0] == '-') return fail_usage(NULL, "a command comes first, not '%s'", first);
  const command *c = cli_command(help ? "help" : first);
  return c ? run_command(c, argc - 2, argv + 2, out) : EXIT_USAGE;
}

int main(int argc, char **argv) {
  host_start();
  text out = {0};
  int code = dispatch(argc, argv, &out);
  int printed = print(&out);
  text_free(&out);
  return code ? code : printed;
}
