// Bounds of the kernels' arrays: what g++ calls where -fsanitize=bounds-strict finds an index beyond its array. The
// simulation goes on and ends with an error that says where, as one does whose streams keep elements; the compiler's
// own library would print a line that nobody reads.

#include "fibers.hpp"

#include <cstdint>
#include <string>

namespace {

// The compiler's records of an access, as GCC and Clang document them for their run-time library.
struct Location {
    const char* file;
    std::uint32_t line;
    std::uint32_t column;
};

struct Type {
    std::uint16_t kind;
    std::uint16_t info;
    char name[1];
};

struct OutOfBounds {
    Location where;
    const Type* array;
    const Type* index;
};

}  // namespace

extern "C" void __ubsan_handle_out_of_bounds(const OutOfBounds* found, std::uintptr_t index) {
    const std::string file = found->where.file;
    fibers::Scheduler::get().beyond(file.substr(file.rfind('/') + 1) + ":" + std::to_string(found->where.line), index,
                                    found->array->name);
}
