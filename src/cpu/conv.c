/* cpu/conv.c: how a convolution is cut up, and the packing of its weights. */
#include "cpu/conv.h"

#include "cpu/conv_plan.h"

enum { LEAST_BLOCK = 24, TASKS = 4, SMALL = 1 << 20, TASK = 1 << 19 };

/* The number of vectors in a panel. Two: with three, weights pass by more often; with one, loads
 * are the limit. */
static int64_t panel_vectors(int64_t width, int64_t lanes) {
  const int64_t all = divide_up(width, lanes);
  return all == 1 || all == 3 ? all : 2;
}

/* How far apart elements of the weights are depends on the convolution that was asked for. */
static conv_form form_of(const conv_shape *s) {
  conv_form f = {.groups = s->groups,
                 .taps = 1,
                 .depth = s->in / s->groups,
                 .width = s->out / s->groups,
                 .lanes = cpu_table()->conv_lanes()};
  for (int i = 0; i < CONV_AXES; i++) f.taps *= s->axis[i].kernel;
  f.from = s->transposed ? f.width * f.taps : f.taps;
  f.to = s->transposed ? f.taps : f.depth * f.taps;
  if (s->groups > 1 && f.depth == 1 && f.width == 1) {
    f.width = s->groups;
    f.groups = 1;
  }
  f.inner = f.width;
  return f;
}

/* Do the windows on the result lie side by side? Then they become columns. */
static void spread(conv_plan *p) {
  bool apart = p->s.transposed && p->s.groups == 1;
  for (int i = 0; i < CONV_AXES; i++) {
    const conv_axis *a = &p->s.axis[i];
    const bool single = a->kernel == 1 || a->dilation == 1;
    apart = apart && single && a->kernel == a->stride && a->before == 0 &&
            a->out == a->in * a->kernel;
    p->spread[i] = 1;
  }
  for (int i = 0; i < CONV_AXES && apart; i++) {
    const conv_axis *a = &p->s.axis[i];
    p->spread[i] = a->kernel;
    p->s.axis[i] = (conv_axis){a->in, a->in, 1, 1, 1, 0};
  }
  if (!apart) return;
  p->s.transposed = false;
  p->s.out *= p->form.taps;
  p->form.width = p->s.out;
  p->form.taps = 1;
}

/* Where every window is one place, all places are neighbours along one axis. */
static void flatten(conv_shape *s) {
  int64_t places = s->images;
  for (int i = 0; i < CONV_AXES; i++) {
    const conv_axis *a = &s->axis[i];
    if (a->kernel != 1 || a->stride != 1 || a->before != 0 || a->in != a->out) return;
    places *= a->in;
  }
  for (int i = 0; i < CONV_AXES; i++) s->axis[i].in = s->axis[i].out = 1;
  s->axis[CONV_AXES - 1].in = s->axis[CONV_AXES - 1].out = places;
  s->images = 1;
}

/* Columns of panel i of a group: all, or as many whole vectors as the rest needs. */
int64_t panel_columns(const conv_form *f, int64_t i) {
  const int64_t panel = f->vectors * f->lanes, rest = f->width - i * panel;
  return rest < panel ? round_up(rest, f->lanes) : panel;
}

void conv_choose(const conv_shape *shape, uint32_t threads, conv_plan *out_plan) {
  conv_plan *p = out_plan;
  conv_form *f = &p->form;
  const conv_shape *s = &p->s;
  int64_t places, phases = 1;
  *p = (conv_plan){.s = *shape, .form = form_of(shape), .channels = shape->out, .panels = 1};
  spread(p);
  if (!s->transposed && s->out == p->channels) flatten(&p->s);
  places = s->images;
  for (int i = 0; i < CONV_AXES; i++) {
    p->phases[i] = s->transposed ? at_most(s->axis[i].stride, s->axis[i].out) : 1;
    places *= divide_up(s->axis[i].out, p->phases[i]);
    phases *= p->phases[i];
  }
  const bool depthwise = s->groups != f->groups;
  if (!depthwise) f->vectors = panel_vectors(f->width, f->lanes);
  p->rows = cpu_table()->conv_rows(f->vectors);
  p->packed = f->taps * f->depth * f->width;
  if (f->vectors) {
    p->panels = divide_up(f->width, f->vectors * f->lanes);
    p->packed = f->taps * f->depth * round_up(f->width, f->lanes);
  }
  p->joined = f->vectors && s->groups == 1 && !s->transposed && s->axis[2].dilation == 1;
  /* a single row of weights for each element, or a single place, is a matter of memory */
  const double effort = places == 1 ? 8 : depthwise ? 4 : 1;
  const double work = effort * (double)(f->taps * f->depth) * (double)(places * s->out);
  p->threads = work < SMALL ? 1 : threads;
  const int64_t tasks = p->threads == 1 ? 1 : (int64_t)p->threads * TASKS;
  const int64_t most = at_most(depthwise ? DEPTH_BLOCK : CONV_BLOCK,
                               at_least(LEAST_BLOCK, places * phases / tasks));
  p->block = round_up(divide_up(places, divide_up(places, most)), p->rows);
  p->blocks = divide_up(places, p->block);
  p->chunks = at_most(p->blocks, divide_up(at_least(tasks, (int64_t)(work / TASK)), phases));
  p->parts = at_most(p->panels * f->groups, divide_up(tasks, p->blocks * phases));
  if (p->s.out != p->channels) p->parts = 1;
}

int64_t conv_zeros(const conv_plan *p) {
  const int64_t panel = p->form.vectors * p->form.lanes; /* of a bias that is not there */
  return at_least(at_least(p->s.in, p->s.out), panel) * (int64_t)sizeof(float);
}
int64_t conv_packed(const conv_plan *p) {
  return (p->form.groups * p->packed + 1) * (int64_t)sizeof(float);
}

/* A row of the packed form for tap t and channel c: n columns from `column` on, zeros behind. */
static float *pack_row(const conv_form *f, const float *w, int64_t column, int64_t n, float *to) {
  for (int64_t j = 0; j < n; j++) {
    const int64_t i = column + j;
    to[j] = i < f->width ? w[i % f->inner * f->to + i / f->inner] : 0;
  }
  return to + n;
}

void conv_pack(const conv_form *f, const float *weights, float *to) {
  const int64_t group = f->taps * f->depth * f->width;
  const int64_t panel = f->vectors * f->lanes;
  if (f->vectors == 0)
    for (int64_t t = 0; t < f->taps; t++) to = pack_row(f, weights + t, 0, f->width, to);
  else
    for (int64_t g = 0; g < f->groups; g++, weights += group)
      for (int64_t i = 0; i * panel < f->width; i++)
        for (int64_t t = 0; t < f->taps; t++)
          for (int64_t k = 0; k < f->depth; k++)
            to = pack_row(f, weights + k * f->from + t, i * panel, panel_columns(f, i), to);
}
