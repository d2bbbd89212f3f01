# Everything that librlx links: docs/design/dependencies.md says why each.
find_package(Python3 REQUIRED COMPONENTS Interpreter)
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(cjson REQUIRED IMPORTED_TARGET libcjson)
pkg_check_modules(libzip REQUIRED IMPORTED_TARGET libzip)
pkg_check_modules(utf8proc REQUIRED IMPORTED_TARGET libutf8proc)
if(BUILD_TESTING)
  pkg_check_modules(cmocka REQUIRED IMPORTED_TARGET cmocka)
endif()

# MLX: an installed one (MLX_ROOT or CMAKE_PREFIX_PATH may point to it), else the pinned wheel.
if(NOT RLX_MLX)
  find_package(MLX 0.32.1 CONFIG QUIET)
endif()
if(NOT MLX_FOUND)
  execute_process(
    COMMAND ${Python3_EXECUTABLE} ${PROJECT_SOURCE_DIR}/scripts/fetch.py mlx ${RLX_MLX}
    OUTPUT_VARIABLE mlx_prefix OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
  # Not MLXConfig.cmake: that of the CUDA wheel asks for a CUDA toolkit, which nothing here needs.
  include(${mlx_prefix}/share/cmake/MLX/MLXTargets.cmake)
endif()

# OpenBLAS must be a direct dependency, so that MLX's own cblas_* calls find it before the slow BLAS
# of the wheel: linkers that drop what seems unused are told to keep it. macOS has Accelerate.
if(NOT APPLE)
  find_library(OPENBLAS openblas REQUIRED)
  foreach(language C CXX)
    set(CMAKE_${language}_LINK_LIBRARY_USING_keep
      "LINKER:--push-state,--no-as-needed" "<LINK_ITEM>" "LINKER:--pop-state")
    set(CMAKE_${language}_LINK_LIBRARY_USING_keep_SUPPORTED TRUE)
  endforeach()
  set(rlx_blas "$<LINK_LIBRARY:keep,${OPENBLAS}>")
endif()

set(rlx_dependencies mlx ${rlx_blas} PkgConfig::cjson PkgConfig::libzip PkgConfig::utf8proc
  Threads::Threads m)
