/* load/rlx_file.h: reading a mapped .rlx file. */
#ifndef LOAD_RLX_FILE_H
#define LOAD_RLX_FILE_H

#include <rlx/graph.h>

#include "base/io.h"

rlx_status rlx_file_read(io_map *file, rlx_graph **out_graph);

#endif
