// Host memory of large tensors: one stretch of addresses in which freed blocks are merged and used again.
//
// A training step allocates the same large sizes again and again. glibc up to 2.37 wastes between a third and a half of the memory they need: it
// looks for alignment + size bytes, so an aligned block that was freed never serves a request of its own size again, and small blocks that live
// long lie between the large ones. Here the first hole that is large enough, in the order of addresses, is taken: the stretch's end stays within
// a few percent of the most that is alive at once, and no page is given back and faulted in anew at every step.
#include "shim.h"
#include <c10/core/CPUAllocator.h>
#include <sys/mman.h>
#include <unistd.h>
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <unordered_map>

namespace {

constexpr size_t kLarge = 64 << 10;    // smaller tensors are the allocator's that was there before
constexpr size_t kHugePage = 2 << 20;
// Neighbours of equal size start this much apart from a multiple of the page: at equal offsets in their pages, the streams of a kernel that reads
// some and writes others would compete for the same sets of the cache.
constexpr size_t kLine = 64, kApart = 5 * kLine;

class Arena {
public:
    // Addresses for as much memory as the machine has. They cost nothing until they are written to.
    bool reserve() {
        const size_t wanted = static_cast<size_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<size_t>(sysconf(_SC_PAGESIZE)) / kHugePage * kHugePage;
        void* memory = mmap(nullptr, wanted + kHugePage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory == MAP_FAILED) return false;
        begin_ = reinterpret_cast<char*>((reinterpret_cast<uintptr_t>(memory) + kHugePage - 1) / kHugePage * kHugePage);
        end_ = begin_ + wanted;
        // fewer entries of the processor's address cache, where the kernel has such pages to give
        madvise(begin_, wanted, MADV_HUGEPAGE);
        holes_.emplace(begin_, wanted);
        return true;
    }

    bool has(const void* p) const { return p >= begin_ && p < end_; }

    // Null where no hole is large enough.
    void* take(size_t bytes) {
        const size_t size = (bytes + kLine - 1) / kLine * kLine + kApart;
        std::lock_guard<std::mutex> lock(mutex_);
        auto hole = std::find_if(holes_.begin(), holes_.end(), [&](const auto& h) { return h.second >= size; });
        if (hole == holes_.end()) return nullptr;
        char* const block = hole->first;
        if (hole->second > size) holes_.emplace_hint(std::next(hole), block + size, hole->second - size);
        holes_.erase(hole);
        taken_.emplace(block, size);
        live_ += size;
        most_ = std::max(most_, live_);
        reach_ = std::max(reach_, static_cast<size_t>(block + size - begin_));
        return block;
    }

    void give_back(void* p) {
        std::lock_guard<std::mutex> lock(mutex_);
        const auto found = taken_.find(static_cast<char*>(p));
        if (found == taken_.end()) return;
        char* block = found->first;
        size_t size = found->second;
        taken_.erase(found);
        live_ -= size;
        auto next = holes_.lower_bound(block);
        if (next != holes_.end() && block + size == next->first) {
            size += next->second;
            next = holes_.erase(next);
        }
        if (next != holes_.begin()) {
            const auto before = std::prev(next);
            if (before->first + before->second == block) {
                before->second += size;
                return;
            }
        }
        holes_.emplace_hint(next, block, size);
    }

    // Bytes alive, the most that were since the last call with `restart`, and how far the stretch has reached.
    void report(int64_t* live, int64_t* most, int64_t* reach, bool restart) {
        std::lock_guard<std::mutex> lock(mutex_);
        *live = static_cast<int64_t>(live_);
        *most = static_cast<int64_t>(most_);
        *reach = static_cast<int64_t>(reach_);
        if (restart) most_ = live_;
    }

private:
    std::mutex mutex_;
    std::map<char*, size_t> holes_;
    std::unordered_map<char*, size_t> taken_;
    char *begin_ = nullptr, *end_ = nullptr;
    size_t live_ = 0, most_ = 0, reach_ = 0;
};

// Never destroyed: tensors in static variables of other libraries outlive this one's.
Arena* arena = nullptr;
at::Allocator* before = nullptr;

void free_large(void* p) { arena->give_back(p); }

void free_any(void* p) {
    if (arena->has(p)) arena->give_back(p);
    else before->raw_deleter()(p);
}

// The functions of an at::Allocator come without `override`: libtorch 2.3 made allocate() non-const and added copy_data().
struct LargeTensors : at::Allocator {
    at::DataPtr allocate(size_t bytes) { return make(bytes); }
    at::DataPtr allocate(size_t bytes) const { return make(bytes); }
    at::DeleterFnPtr raw_deleter() const override { return &free_any; }
    void copy_data(void* to, const void* from, size_t bytes) const { std::memcpy(to, from, bytes); }

    static at::DataPtr make(size_t bytes) {
        void* p = bytes >= kLarge ? arena->take(bytes) : nullptr;
        return p ? at::DataPtr(p, p, &free_large, at::Device(at::kCPU)) : before->allocate(bytes);
    }
};

} // namespace

// Puts large tensors of the host into the arena from now on. 0: it was not wanted (GMIX_ARENA=0 in the environment), or the machine refuses the addresses.
GMX_API int32_t gmx_use_arena() {
    if (arena) return 1;
    const char* text = std::getenv("GMIX_ARENA");
    if (text && std::strcmp(text, "0") == 0) return 0;
    auto* made = new Arena();
    if (!made->reserve()) {
        delete made;
        return 0;
    }
    arena = made;
    before = c10::GetCPUAllocator();
    c10::SetCPUAllocator(new LargeTensors(), /*priority=*/255);
    return 1;
}

// Bytes of large tensors: alive, the most since the last call with `restart`, and how many bytes of addresses they were spread over. 0: no arena.
GMX_API int32_t gmx_arena(int64_t* live, int64_t* most, int64_t* reach, int32_t restart) {
    if (!arena) return 0;
    arena->report(live, most, reach, restart != 0);
    return 1;
}
