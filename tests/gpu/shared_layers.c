// A library for LD_PRELOAD: checkpoints whose layers are more than the machine's memory. Where a file NAME is
// mapped and NAME.same is there, the mapping's data is that of another file, so that many layers take the
// host memory of one. layered_checkpoint.py writes both: NAME is a safetensors header and a hole.
//
// NAME.same holds "OFFSET_IN_NAME OFFSET_IN_OTHER PATH_OF_OTHER"; both offsets are of whole pages, and the data
// reaches to the end of both files. read() still sees the hole.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>

typedef void* (*Mmap)(void*, size_t, int, int, int, off_t);

// The data of NAME.same over the mapping of NAME at `map`; `map` where there is none.
static void* Share(Mmap real, void* map, size_t length, int protection, int flags, int fd) {
  char link[64], path[4096], other[4096];
  snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
  const ssize_t size = readlink(link, path, sizeof(path) - sizeof(".same"));
  if (size <= 0) return map;
  snprintf(path + size, sizeof(".same"), ".same");
  FILE* const same = fopen(path, "r");
  if (same == NULL) return map;
  unsigned long long here = 0, there = 0;
  const int read = fscanf(same, "%llu %llu %4095[^\n]", &here, &there, other);
  fclose(same);
  const int other_fd = read == 3 ? open(other, O_RDONLY | O_CLOEXEC) : -1;
  if (other_fd < 0 || here >= length ||
      real((char*)map + here, length - here, protection, flags | MAP_FIXED, other_fd,
           (off_t)there) == MAP_FAILED) {
    fprintf(stderr, "shared_layers: %s: cannot map the file that it names\n", path);
    _exit(1);
  }
  close(other_fd);
  return map;
}

static void* MapOrShare(void* address, size_t length, int protection, int flags, int fd, off_t offset) {
  const Mmap real = (Mmap)dlsym(RTLD_NEXT, "mmap");
  void* const map = real(address, length, protection, flags, fd, offset);
  const int whole_file = fd >= 0 && offset == 0 && address == NULL;
  if (map == MAP_FAILED || !whole_file || protection != PROT_READ || flags != MAP_PRIVATE) return map;
  return Share(real, map, length, protection, flags, fd);
}

void* mmap(void* address, size_t length, int protection, int flags, int fd, off_t offset) {
  return MapOrShare(address, length, protection, flags, fd, offset);
}

// The same function under the name that programs with 64-bit file offsets ask for.
void* mmap64(void* address, size_t length, int protection, int flags, int fd, off_t offset) {
  return MapOrShare(address, length, protection, flags, fd, offset);
}
