# The language and its warnings, for every target that links rlx_flags; what the library exports.
set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_CXX_STANDARD 20) # src/mlx and bench only
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)

add_library(rlx_flags INTERFACE)
# Without contraction a reference gives the same bits on every compiler and machine.
target_compile_options(rlx_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-missing-field-initializers -Werror
  $<$<COMPILE_LANGUAGE:C>:-Wmissing-prototypes> -ffp-contract=off)
if(RLX_SANITIZE)
  target_compile_options(rlx_flags INTERFACE
    -fsanitize=${RLX_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer
    $<$<C_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>) # gcc says so falsely in instrumented code
  target_link_options(rlx_flags INTERFACE -fsanitize=${RLX_SANITIZE})
endif()

if(NOT APPLE)
  # libmlx of the CUDA wheel wants the driver's library, which a machine that only builds lacks.
  target_link_options(rlx_flags INTERFACE "LINKER:--allow-shlib-undefined")
endif()

# Only rlx_* leaves the library (hidden visibility misses the weak symbols of std:: and mlx::), and
# what it lacks is an error here, not in the program that uses it.
function(rlx_export_only library)
  if(APPLE)
    target_link_options(${library} PRIVATE "LINKER:-exported_symbol,_rlx_*")
    return()
  endif()
  set(map ${PROJECT_SOURCE_DIR}/cmake/rlx.map)
  target_link_options(${library} PRIVATE "LINKER:--version-script=${map}")
  set_property(TARGET ${library} APPEND PROPERTY LINK_DEPENDS ${map})
  if(NOT RLX_SANITIZE) # whose run-time library is linked by the program
    target_link_options(${library} PRIVATE "LINKER:-z,defs")
  endif()
endfunction()
