// hls::vector: N elements that travel as one wide word (the part of Vitis' class that the kernels use).
#pragma once

#include <cstddef>

namespace hls {

template <class T, std::size_t N>
class vector {
    static_assert(N > 0, "a vector has at least one element");
    T data_[N];

public:
    using value_type = T;

    vector() = default;
    vector(const T& value) {
        for (std::size_t i = 0; i < N; ++i) data_[i] = value;
    }

    T& operator[](std::size_t i) { return data_[i]; }
    const T& operator[](std::size_t i) const { return data_[i]; }
    T* begin() { return data_; }
    T* end() { return data_ + N; }
    const T* begin() const { return data_; }
    const T* end() const { return data_ + N; }
    static constexpr std::size_t size() { return N; }
};

}  // namespace hls
