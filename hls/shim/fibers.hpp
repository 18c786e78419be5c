// Deterministic cooperative fibers: what runs the processes of a dataflow region when there is no vendor tool.
//
// Each process owns a stack (made with ucontext, switched with setjmp, which makes no system call). A process that
// finds a stream empty or full waits for that stream; when nothing can run any more and nobody outside can help, that
// is a deadlock, found exactly and reported with the names of processes and streams. The order of execution depends on
// the seed alone.
#pragma once

#include <csetjmp>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <sys/mman.h>
#include <ucontext.h>
#include <utility>
#include <vector>

namespace fibers {

struct Fiber;

// What a process can wait for: a stream's data or its free places. `outside`: the other end is no process (a test
// bench, a bus), so waiting for it is no deadlock.
struct Channel {
    std::string name;
    bool outside = false;
    Fiber* reader = nullptr;  // waits for data
    Fiber* writer = nullptr;  // waits for a free place
};

enum class State { Ready, NeedsData, NeedsSpace, Joins, Done };
enum class Outcome { Done, WaitsOutside, Deadlock };

// Unwinds a process after a deadlock; nobody but the fiber's entry catches it.
struct Cancelled {};

struct Fiber {
    std::string name;
    std::function<void()> body;
    State state = State::Ready;
    Channel* channel = nullptr;
    Fiber* parent = nullptr;
    std::size_t children = 0;
    bool cancelled = false;
    bool entered = false;
    char* stack = nullptr;
    ucontext_t context{};
    jmp_buf jump{};
};

class Scheduler {
public:
    static constexpr std::size_t STACK = std::size_t(64) << 20;  // reserved; only pages that are touched cost memory

    static Scheduler& get();

    Fiber* current() const { return current_; }

    // Random yields before stream operations: `chance` in 1/256. Zero turns them off.
    void shake(std::uint64_t seed, unsigned chance) {
        random_ = seed * 2 + 1;
        chance_ = chance;
    }

    // Depth of every stream of this name that is made from now on; zero forgets it.
    void override_depth(const std::string& name, std::size_t depth) {
        if (depth) depths_[name] = depth;
        else depths_.erase(name);
    }

    std::size_t depth(const std::string& name, std::size_t wanted) const {
        if (depths_.empty()) return wanted;
        const auto found = depths_.find(name);
        return found == depths_.end() ? wanted : found->second;
    }

    void spawn(std::string name, std::function<void()> body) {
        auto fiber = std::make_unique<Fiber>();
        fiber->name = std::move(name);
        fiber->body = std::move(body);
        fiber->parent = current_;
        if (current_) ++current_->children;
        ready_.push_back(fiber.get());
        fibers_.push_back(std::move(fiber));
    }

    // Runs until nothing can run. From outside of any fiber.
    Outcome run() {
        for (;;) {
            while (!ready_.empty()) {
                Fiber* next = ready_.front();
                ready_.pop_front();
                resume(next);
            }
            if (error_ || !deadlock_.empty()) return finish();
            bool any = false, outside = false;
            for (const auto& fiber : fibers_) {
                if (fiber->state == State::Done) continue;
                any = true;
                outside |= fiber->channel && fiber->channel->outside;
            }
            if (!any) return finish();
            if (outside) return Outcome::WaitsOutside;
            deadlock_ = describe();
            cancel();
        }
    }

    // What `Outcome::Deadlock` was about: who waits for which stream.
    const std::string& deadlock() const { return report_; }

    // Ends every process, as when a simulation is given up.
    void abandon() {
        cancel();
        while (!ready_.empty()) {
            Fiber* next = ready_.front();
            ready_.pop_front();
            resume(next);
        }
        clear();
    }

    void wait(Channel& channel, State why) {
        if (!current_) throw std::logic_error("stream '" + channel.name + "' blocks outside of any process");
        current_->state = why;
        current_->channel = &channel;
        (why == State::NeedsData ? channel.reader : channel.writer) = current_;
        leave();
        if (current_->cancelled) throw Cancelled();
    }

    void wake(Fiber*& waiting) {
        Fiber* fiber = waiting;
        waiting = nullptr;
        fiber->state = State::Ready;
        fiber->channel = nullptr;
        ready_.push_back(fiber);
    }

    void maybe_yield() {
        if (!chance_ || !current_) return;
        random_ ^= random_ << 13;
        random_ ^= random_ >> 7;
        random_ ^= random_ << 17;
        if ((random_ & 255) >= chance_) return;
        ready_.push_back(current_);
        leave();
        if (current_->cancelled) throw Cancelled();
    }

    // Waits for all processes that the current one has spawned. They use its variables: not even a deadlock ends it early.
    void join() {
        Fiber* self = current_;
        while (self->children) {
            self->state = State::Joins;
            leave();
        }
        self->state = State::Ready;
    }

    // A stream of a process has ended with elements that nobody read: in hardware they would stay in the FIFO and be the
    // first of the next call.
    void left(const std::string& name, std::size_t count) {
        if (!current_ || current_->cancelled || error_) return;
        error_ = std::make_exception_ptr(std::runtime_error(
            "stream '" + name + "' ends with " + std::to_string(count) + " elements that nobody has read"));
    }

    // An array was asked for an element that it does not have: in hardware another memory's, or none.
    void beyond(const std::string& where, std::size_t index, const std::string& array) {
        if (error_) return;
        error_ = std::make_exception_ptr(
            std::runtime_error(where + ": element " + std::to_string(index) + " of an array of type " + array));
    }

private:
    void resume(Fiber* fiber) {
        current_ = fiber;
        if (!_setjmp(main_)) {
            if (fiber->entered) _longjmp(fiber->jump, 1);
            fiber->entered = true;
            fiber->stack = take_stack();
            getcontext(&fiber->context);
            fiber->context.uc_stack.ss_sp = fiber->stack;
            fiber->context.uc_stack.ss_size = STACK;
            fiber->context.uc_link = nullptr;
            makecontext(&fiber->context, &Scheduler::enter, 0);
            setcontext(&fiber->context);
        }
        current_ = nullptr;
        if (fiber->state == State::Done) stacks_.push_back(std::exchange(fiber->stack, nullptr));
    }

    void leave() {
        Fiber* self = current_;
        if (!_setjmp(self->jump)) _longjmp(main_, 1);
        current_ = self;
    }

    static void enter() {
        Scheduler& scheduler = get();
        Fiber* self = scheduler.current_;
        try {
            if (!self->cancelled) self->body();
        } catch (const Cancelled&) {
        } catch (...) {
            if (!scheduler.error_) scheduler.error_ = std::current_exception();
        }
        self->state = State::Done;
        if (Fiber* parent = self->parent) {
            if (!--parent->children && parent->state == State::Joins) {
                parent->state = State::Ready;
                scheduler.ready_.push_back(parent);
            }
        }
        if (scheduler.error_) scheduler.cancel();
        _longjmp(scheduler.main_, 1);
    }

    void cancel() {
        for (const auto& fiber : fibers_) {
            if (fiber->state == State::Done || fiber->cancelled) continue;
            fiber->cancelled = true;
            if (fiber->channel) {
                Fiber*& place = fiber->state == State::NeedsData ? fiber->channel->reader : fiber->channel->writer;
                wake(place);
            }
        }
    }

    std::string describe() const {
        std::string text = "deadlock:";
        const char* separator = " ";
        for (const auto& fiber : fibers_) {
            if (!fiber->channel) continue;
            const char* why = fiber->state == State::NeedsData ? " waits for data on " : " waits for space in ";
            text += separator + fiber->name + why + "stream '" + fiber->channel->name + "'";
            separator = "; ";
        }
        return text;
    }

    Outcome finish() {
        const bool dead = !deadlock_.empty();
        const std::exception_ptr error = error_;
        const std::string text = deadlock_;
        clear();
        report_ = text;
        if (error) std::rethrow_exception(error);
        return dead ? Outcome::Deadlock : Outcome::Done;
    }

    void clear() {
        fibers_.clear();
        ready_.clear();
        error_ = nullptr;
        deadlock_.clear();
    }

    char* take_stack() {
        if (!stacks_.empty()) {
            char* stack = stacks_.back();
            stacks_.pop_back();
            return stack;
        }
        void* memory = mmap(nullptr, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory == MAP_FAILED) throw std::bad_alloc();
        mprotect(memory, 4096, PROT_NONE);  // an overflow faults instead of spoiling a neighbour
        return static_cast<char*>(memory);
    }

    std::vector<std::unique_ptr<Fiber>> fibers_;
    std::deque<Fiber*> ready_;
    std::vector<char*> stacks_;
    std::map<std::string, std::size_t> depths_;
    Fiber* current_ = nullptr;
    jmp_buf main_{};
    std::exception_ptr error_;
    std::string deadlock_;  // of the run that is ending
    std::string report_;    // of the run that has ended
    std::uint64_t random_ = 1;
    unsigned chance_ = 0;
};

// One for the program: simulation is single-threaded.
inline Scheduler instance;

inline Scheduler& Scheduler::get() { return instance; }

// The processes of one dataflow region; its end is where they have all ended. Declared after the streams that they use.
class Region {
public:
    void process(const char* name, std::function<void()> body) { Scheduler::get().spawn(name, std::move(body)); }

    ~Region() noexcept(false) {
        Scheduler& scheduler = Scheduler::get();
        scheduler.join();
        if (scheduler.current()->cancelled && !std::uncaught_exceptions()) throw Cancelled();
    }
};

}  // namespace fibers
