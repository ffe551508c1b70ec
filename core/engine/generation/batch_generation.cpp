// The loop over steps of a batch: rows are filled as they become free, and tokens are read one step behind the device.
#include "core/engine/generation/batch_generation.h"

#include <algorithm>
#include <array>
#include <chrono>

#include <c10/core/Event.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include "core/base/error.h"
#include "core/engine/generation/decode_batch.h"
#include "core/engine/generation/prompt.h"
#include "core/engine/generation/text_stream.h"

namespace postnas::engine {
namespace {

using Clock = std::chrono::steady_clock;

double secondsSince(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

/// What a step chose, on its way to the host.
class StepCopy {
public:
    StepCopy(std::int64_t batch, const torch::Device& device)
        : m_device(device)
        , m_tokens(torch::empty({batch}, torch::TensorOptions().dtype(torch::kInt32).pinned_memory(device.is_cuda())))
        , m_finished(torch::empty({batch}, torch::TensorOptions().dtype(torch::kUInt8).pinned_memory(device.is_cuda())))
        , m_done(device.is_cuda() ? c10::DeviceType::CUDA : c10::DeviceType::CPU)
    {
    }
    void start(const DecodeBatch& from)
    {
        m_tokens.copy_(from.chosen(), true);
        m_finished.copy_(from.finished(), true);
        if (m_device.is_cuda())
            m_done.record(c10::impl::VirtualGuardImpl(c10::DeviceType::CUDA).getStream(m_device));
    }
    void wait()
    {
        if (m_device.is_cuda())
            m_done.synchronize();
    }
    std::int64_t token(std::int64_t row) const { return m_tokens.const_data_ptr<std::int32_t>()[row]; }
    bool finished(std::int64_t row) const { return m_finished.const_data_ptr<std::uint8_t>()[row] != 0; }

private:
    torch::Device m_device;
    torch::Tensor m_tokens, m_finished;
    c10::Event m_done;
};

class Generation {
public:
    Generation(const HybridModel& model, const std::vector<const Block*>* mixers, const Tokenizer* tokenizer, std::span<const PromptRequest> prompts,
               const GenerateOptions& options, std::int64_t batch, const std::function<bool(std::size_t, const StreamPiece&)>& onPiece,
               const CancellationToken& cancellation)
        : m_model(model)
        , m_mixers(mixers)
        , m_tokenizer(tokenizer)
        , m_prompts(prompts)
        , m_options(options)
        , m_onPiece(onPiece)
        , m_cancellation(cancellation)
        , m_rows(static_cast<std::size_t>(batch))
        , m_results(prompts.size())
        , m_chunk(promptChunk(options.prefillChunk, model.device()))
        , m_batch(model, batch, capacity(), mixers)
        , m_copies {StepCopy(batch, model.device()), StepCopy(batch, model.device())}
    {
        m_batch.sampleOnDevice(options.stopIds, std::any_of(prompts.begin(), prompts.end(), [](const PromptRequest& p) { return p.sampling.repetitionPenalty != 1; }));
    }

    std::vector<GenerationResult> run()
    {
        for (std::int64_t step = 0;; ++step) {
            fillRows(step);
            if (m_cancellation.cancelled())
                cancelAll();
            if (std::none_of(m_rows.begin(), m_rows.end(), [](const Row& r) { return r.stream.has_value(); }))
                return std::move(m_results);
            m_batch.advance();
            m_copies[static_cast<std::size_t>(step % 2)].start(m_batch);
            if (step > 0)
                read(step - 1);
        }
    }

private:
    struct Row {
        std::size_t prompt = 0;
        std::optional<TextStream> stream; ///< none: the row is free
        std::int64_t firstStep = 0;       ///< steps before it belong to the row's earlier prompt
        Clock::time_point started;
        std::int64_t decoded = 0; ///< tokens, the one that ended the sequence included
    };

    std::int64_t capacity() const
    {
        std::int64_t most = 1;
        for (const PromptRequest& p : m_prompts) {
            checkPrompt(p, m_model.architecture());
            most = std::max(most, static_cast<std::int64_t>(p.ids.size()) + p.maxNewTokens);
        }
        return most;
    }

    /// Reads waiting prompts into free rows; they take part from `step` on.
    void fillRows(std::int64_t step)
    {
        for (std::size_t row = 0; row < m_rows.size(); ++row)
            while (!m_rows[row].stream && m_nextPrompt < m_prompts.size() && !m_cancellation.cancelled())
                begin(row, m_nextPrompt++, step);
    }

    void begin(std::size_t at, std::size_t prompt, std::int64_t step)
    {
        const PromptRequest& request = m_prompts[prompt];
        GenerationResult& result = m_results[prompt];
        const auto length = static_cast<std::int64_t>(request.ids.size());
        result.promptTokens = length;
        result.finishReason = "length";
        const auto started = Clock::now();
        const torch::Tensor ids = torch::from_blob(const_cast<std::int64_t*>(request.ids.data()), {length}, torch::kInt64).clone().to(m_model.device());
        // A lone prompt is read in place: a second state of a long context may not fit.
        const bool inPlace = m_prompts.size() == 1 && m_rows.size() == 1;
        std::optional<ModelState> own;
        if (!inPlace)
            own = m_model.makeState(1, length, m_mixers);
        ModelState& state = inPlace ? m_batch.state() : *own;
        torch::Tensor hidden;
        for (std::int64_t first = 0; first < length; first += m_chunk) {
            m_cancellation.throwIfCancelled();
            hidden = m_model.extend(ids.slice(0, first, std::min(length, first + m_chunk)).unsqueeze(0), state, m_mixers);
        }
        if (!inPlace)
            m_batch.assign(static_cast<std::int64_t>(at), state);
        result.stateBytes = m_batch.stateBytes() / static_cast<std::int64_t>(m_rows.size());
        const torch::Tensor logits = m_model.logits(hidden.select(1, hidden.size(1) - 1));
        if (m_model.device().is_cuda())
            torch::cuda::synchronize();
        result.prefillSeconds = secondsSince(started);
        if (request.maxNewTokens == 0)
            return;
        ops::SequenceSampling sampling;
        sampling.temperature = static_cast<float>(request.sampling.temperature);
        sampling.topP = static_cast<float>(request.sampling.topP);
        sampling.minP = static_cast<float>(request.sampling.minP);
        sampling.repetitionPenalty = static_cast<float>(request.sampling.repetitionPenalty);
        sampling.topK = static_cast<std::int32_t>(std::min<std::int64_t>(request.sampling.topK, m_model.architecture().vocabularySize));
        sampling.lengthLimit = static_cast<std::int32_t>(length + request.maxNewTokens);
        sampling.seed = request.sampling.seed;
        const auto row = static_cast<std::int64_t>(at);
        m_rows[at] = {prompt, TextStream(m_tokenizer, m_options.stopStrings), step, Clock::now(), 0};
        m_batch.start(row, ids, logits, sampling);
        take(at, m_batch.chosen()[row].item<std::int64_t>(), m_batch.finished()[row].item<std::int64_t>() != 0);
    }

    /// What step `step` chose, for the rows that ran in it.
    void read(std::int64_t step)
    {
        StepCopy& copy = m_copies[static_cast<std::size_t>(step % 2)];
        copy.wait();
        for (std::size_t row = 0; row < m_rows.size(); ++row)
            if (m_rows[row].stream && m_rows[row].firstStep <= step)
                take(row, copy.token(static_cast<std::int64_t>(row)), copy.finished(static_cast<std::int64_t>(row)));
    }

    void take(std::size_t at, std::int64_t id, bool finished)
    {
        Row& row = m_rows[at];
        GenerationResult& result = m_results[row.prompt];
        ++row.decoded;
        if (std::find(m_options.stopIds.begin(), m_options.stopIds.end(), id) != m_options.stopIds.end())
            return close(at, "stop");
        result.tokens.push_back(id);
        const std::string piece = row.stream->push(id);
        result.text += piece;
        const bool goOn = !m_onPiece || m_onPiece(row.prompt, {id, piece});
        if (row.stream->stopped() || !goOn)
            close(at, row.stream->stopped() ? "stop" : "cancelled");
        else if (finished)
            close(at, "length");
    }

    /// Ends the row's sequence, on the device too, and makes the row free.
    void close(std::size_t at, const char* reason)
    {
        Row& row = m_rows[at];
        m_batch.finish(static_cast<std::int64_t>(at));
        GenerationResult& result = m_results[row.prompt];
        result.finishReason = reason;
        result.decodeSeconds = secondsSince(row.started);
        result.tokensPerSecond = result.decodeSeconds > 0 ? static_cast<double>(row.decoded) / result.decodeSeconds : 0;
        const std::string rest = row.stream->finish();
        result.text += rest;
        if (!rest.empty() && m_onPiece)
            m_onPiece(row.prompt, {-1, rest});
        row.stream.reset();
    }

    void cancelAll()
    {
        for (std::size_t row = 0; row < m_rows.size(); ++row)
            if (m_rows[row].stream)
                close(row, "cancelled");
        for (; m_nextPrompt < m_prompts.size(); ++m_nextPrompt)
            m_results[m_nextPrompt].finishReason = "cancelled";
    }

    const HybridModel& m_model;
    const std::vector<const Block*>* m_mixers;
    const Tokenizer* m_tokenizer;
    std::span<const PromptRequest> m_prompts;
    const GenerateOptions& m_options;
    const std::function<bool(std::size_t, const StreamPiece&)>& m_onPiece;
    const CancellationToken& m_cancellation;
    std::vector<Row> m_rows;
    std::vector<GenerationResult> m_results;
    std::int64_t m_chunk;
    DecodeBatch m_batch;
    std::array<StepCopy, 2> m_copies;
    std::size_t m_nextPrompt = 0;
};

} // namespace

std::vector<GenerationResult> generateTogether(const HybridModel& model, const std::vector<const Block*>* mixers, const Tokenizer* tokenizer,
                                               std::span<const PromptRequest> prompts, const GenerateOptions& options, std::int64_t batch,
                                               const std::function<bool(std::size_t, const StreamPiece&)>& onPiece,
                                               const CancellationToken& cancellation)
{
    const torch::InferenceMode guard;
    if (prompts.empty())
        return {};
    if (batch < 1)
        throw usageError("the batch must be at least 1");
    batch = std::min(batch, static_cast<std::int64_t>(prompts.size()));
    return Generation(model, mixers, tokenizer, prompts, options, batch, onPiece, cancellation).run();
}

} // namespace postnas::engine
