/* rlx/help.c: help texts, from the tables of cli.h. */
#include "cli.h"

enum { FLAG_COLUMN = 30 };

static void help_flags(const command *c, text *out) {
  text_add(out, "\nFlags:\n");
  for (size_t i = 0; i < FLAG_COUNT; i++) {
    const flag_row *f = &cli_flags[i];
    if (!cli_takes(c, f)) continue;
    size_t start = out->n;
    if (f->letter) {
      text_addf(out, "  -%c, --%s", f->letter, f->name);
    } else {
      text_addf(out, "  --%s", f->name);
    }
    if (*f->value) text_addf(out, " %s", f->value);
    if (out->n - start >= FLAG_COLUMN) {
      text_add(out, "\n");
      start = out->n;
    }
    text_pad(out, start, FLAG_COLUMN);
    text_addf(out, "%s\n", f->help);
  }
}

static void help_program(text *out) {
  text_add(out, "rlx: an ML compiler and runtime in C on MLX\n\nUsage: rlx COMMAND ...\n\n");
  for (size_t i = 0; i < cli_n_commands; i++) {
    const command *c = &cli_commands[i];
    size_t start = out->n;
    text_addf(out, "  %s %s", c->name, c->operands);
    text_pad(out, start, 25);
    text_addf(out, "%s\n", c->summary);
  }
  text_add(out, "\n'rlx help COMMAND' shows a command's flags, 'rlx --version' (-V) the version.\n");
}

void cli_help(const command *c, text *out) {
  if (!c) {
    help_program(out);
    return;
  }
  text_addf(out, "rlx %s: %s\n\nUsage: rlx %s [FLAG]...%s%s\n", c->name, c->summary, c->name,
            *c->operands ? " " : "", c->operands);
  help_flags(c, out);
  text_add(out,
           "\nA value follows its flag or '='; what follows '--' is no flag.\n"
           "Exit status: 0 ok, 1 the job failed, 2 usage.\n");
}

int cmd_help(const args *a, text *out) {
  const command *c = NULL;
  if (a->n_operands) {
    c = cli_command(a->operands[0]);
    if (!c) return EXIT_USAGE;
  }
  cli_help(c, out);
  return EXIT_OK;
}
