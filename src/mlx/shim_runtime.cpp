/* mlx/shim_runtime.cpp: the process: streams, devices, memory, and exceptions as statuses. */
#include <dlfcn.h>
#include <mlx/scheduler.h>

#include <future>
#include <optional>
#include <thread>

#include "mlx/shim_private.hpp"

namespace {

/* The thread that makes MLX's scheduler is thrown the error of any CPU task, whoever's it was, at
 * its next call. A thread that makes no calls takes that part; it stays, because ids are reused. */
void make_scheduler() {
  std::promise<void> made;
  std::thread([&made] {
    try {
      mc::scheduler::scheduler();
      made.set_value();
    } catch (...) {
      made.set_exception(std::current_exception());
      return;
    }
    std::promise<void>().get_future().wait();
  }).detach();
  made.get_future().get();
}

/* Of the kind that every thread may use; made once, because making one races with everything. */
struct shared_streams {
  shared_streams() {
    make_scheduler();
    cpu.emplace(mc::new_thread_unsafe_stream(mc::Device::cpu));
    if (mc::is_available(mc::Device::gpu)) {
      gpu.emplace(mc::new_thread_unsafe_stream(mc::Device::gpu));
    }
  }
  std::optional<mc::Stream> cpu, gpu;
};

const shared_streams &streams() {
  static const shared_streams s;
  return s;
}

}  // namespace

rlx_status shim::status_of_exception() noexcept {
  try {
    throw;
  } catch (const failure &f) {
    return f.status;
  } catch (const std::bad_alloc &) {
    return status_set(RLX_ERROR_MEMORY, "MLX is out of memory");
  } catch (const std::invalid_argument &e) {
    return status_set(RLX_ERROR_ARGUMENT, "MLX refuses: %s", e.what());
  } catch (const std::exception &e) {
    return status_set(RLX_ERROR_BACKEND, "MLX failed: %s", e.what());
  } catch (...) {
    return status_set(RLX_ERROR_BACKEND, "MLX failed without a word");
  }
}

const mc::Stream &shim::stream_of(mx_device device) {
  const std::optional<mc::Stream> &s = device == MX_GPU ? streams().gpu : streams().cpu;
  if (!s) throw failure{status_set(RLX_ERROR_DEVICE, "MLX has no usable GPU here")};
  return *s;
}

bool shim::buffers_are_counted() {
  static const bool counted = [] {
    mc::allocator::Data d = mc::allocator::malloc(64);
    mc::allocator::Buffer b = d.buffer();
    return b.raw_ptr() == static_cast<char *>(b.ptr()) + sizeof(size_t) &&
           *static_cast<size_t *>(b.ptr()) == 64;
  }();
  return counted;
}

extern "C" {

rlx_status mx_start(void) noexcept {
  return shim::guard([] {
    mc::set_default_stream(*streams().cpu);
    if (streams().gpu) mc::set_default_stream(*streams().gpu);
  });
}

bool mx_gpu_available(void) noexcept {
  bool available = false;
  rlx_status status = shim::guard([&] { available = streams().gpu.has_value(); });
  return status == RLX_OK && available;
}

const char *mx_version(void) noexcept { return mc::version(); }

const char *mx_library_path(void) noexcept {
  Dl_info info;
  return dladdr(reinterpret_cast<void *>(&mc::version), &info) != 0 ? info.dli_fname : "";
}

const char *mx_device_name(mx_device device) noexcept {
  const char *name = device == MX_GPU ? "gpu" : "cpu";
  if (device == MX_GPU) {
    (void)shim::guard([&] {
      name = std::get<std::string>(mc::device_info(mc::Device::gpu).at("device_name")).c_str();
    });
  }
  return name;
}

void mx_memory(uint64_t *active, uint64_t *cache, uint64_t *peak) noexcept {
  (void)shim::guard([&] {
    *active = mc::get_active_memory();
    *cache = mc::get_cache_memory();
    *peak = mc::get_peak_memory();
  });
}

}  // extern "C"
