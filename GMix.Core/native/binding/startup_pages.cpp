// Gives back the pages of libraries that only their loading needed.
//
// Loading libtorch with all that it is linked to reads 80 MiB of symbols, relocations and constructors' code that training never looks at again, and
// those pages count as resident until somebody unmaps them. Read-only parts of a file are dropped here: what is needed again comes back from
// the page cache at its first use, which costs a few milliseconds in all.
#include "shim.h"
#include <link.h>
#include <sys/mman.h>
#include <unistd.h>

namespace {

// Pages that were written to, such as relocated code, would come back as the file has them: such libraries are left alone.
bool has_relocated_code(const dl_phdr_info& library) {
    for (int i = 0; i < library.dlpi_phnum; ++i) {
        if (library.dlpi_phdr[i].p_type != PT_DYNAMIC) continue;
        for (auto* entry = reinterpret_cast<const ElfW(Dyn)*>(library.dlpi_addr + library.dlpi_phdr[i].p_vaddr); entry->d_tag != DT_NULL; ++entry)
            if (entry->d_tag == DT_TEXTREL || (entry->d_tag == DT_FLAGS && (entry->d_un.d_val & DF_TEXTREL))) return true;
    }
    return false;
}

bool contains(const dl_phdr_info& library, uintptr_t address) {
    for (int i = 0; i < library.dlpi_phnum; ++i) {
        const auto& part = library.dlpi_phdr[i];
        const uintptr_t begin = library.dlpi_addr + part.p_vaddr;
        if (part.p_type == PT_LOAD && address >= begin && address < begin + part.p_memsz) return true;
    }
    return false;
}

// Libraries come in the order of loading: from this one on they are those that it brought. The runtime's own, which patches its code, come before.
int visit(dl_phdr_info* library, size_t, void* data) {
    bool& ours = *static_cast<bool*>(data);
    ours = ours || contains(*library, reinterpret_cast<uintptr_t>(&visit));
    if (!ours || has_relocated_code(*library)) return 0;
    const uintptr_t page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
    for (int i = 0; i < library->dlpi_phnum; ++i) {
        const auto& part = library->dlpi_phdr[i];
        if (part.p_type != PT_LOAD || (part.p_flags & PF_W)) continue;
        // whole pages: a part that may be written to could begin in the last one
        const uintptr_t from = library->dlpi_addr + part.p_vaddr, begin = (from + page - 1) / page * page, end = (from + part.p_filesz) / page * page;
        if (begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
    }
    return 0;
}

} // namespace

GMX_API void gmx_release_startup_pages() {
    bool ours = false;
    dl_iterate_phdr(visit, &ours);
}
