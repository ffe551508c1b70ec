// Answers of many prompts at once are those of one after the other, and the mixers that are asked for give them.
#include "core/engine/evaluation/generated_answers.h"

#include <gtest/gtest.h>

#include "core/architecture/block_description.h"
#include "core/base/error.h"
#include "core/engine/generation/decode_speed.h"
#include "core/huggingface/checkpoint.h"
#include "core/huggingface/tokenizer.h"
#include "tests/support/support.h"

namespace postnas::engine {
namespace {

class GeneratedAnswers : public testing::Test {
protected:
    GeneratedAnswers()
    {
        for (const char* text : {"1+2=", "the ", "a b c", "7", "Where does Fiona live?", ". "})
            m_prompts.push_back(m_tokenizer.encode(text));
        Architecture others = m_model->architecture();
        others.initializerRange = 0.2;
        for (std::size_t i = 0; i < others.layers.size(); ++i)
            others.layers[i] = blockNamed(i % 2 ? "gated_delta_net" : "jet").defaultLayer(m_model->architecture());
        m_others = HybridModel::random(others, 4, torch::kCPU, torch::kFloat32);
        for (int i = 0; i < others.layerCount(); ++i)
            m_mixers.push_back(i % 3 == 0 ? &m_others->block(i) : &m_model->block(i));
    }
    std::vector<std::string> answers(const std::vector<const Block*>* mixers, const AnswerLimits& limits, bool together) const
    {
        return generatedAnswers(*m_model, mixers, m_tokenizer, m_prompts, limits, together, {});
    }

    const std::filesystem::path m_folder = test::sourceFolder() / "projects" / "quickstart" / "model";
    const Tokenizer m_tokenizer = Tokenizer::load(m_folder);
    const std::unique_ptr<HybridModel> m_model = HybridModel::load(Checkpoint::open(m_folder), torch::kCPU, torch::kFloat32);
    std::unique_ptr<HybridModel> m_others;
    std::vector<const Block*> m_mixers;
    std::vector<std::vector<std::int32_t>> m_prompts;
};

TEST_F(GeneratedAnswers, AreTheSameTogetherAndOneByOne)
{
    const std::vector<std::string> own = answers(nullptr, {20, {}}, false), other = answers(&m_mixers, {20, {}}, false);
    ASSERT_EQ(own.size(), m_prompts.size());
    EXPECT_NE(own, other);
    EXPECT_EQ(answers(nullptr, {20, {}}, true), own);
    EXPECT_EQ(answers(&m_mixers, {20, {}}, true), other);
    // So long that two run at once, and rows are filled again as they become free.
    const AnswerLimits longOnes{12000, {" ", "a", "e", "."}};
    EXPECT_EQ(answers(nullptr, longOnes, true), answers(nullptr, longOnes, false));
}

TEST_F(GeneratedAnswers, EndBeforeAStopString)
{
    const std::string whole = answers(nullptr, {20, {}}, false)[1];
    ASSERT_GT(whole.size(), 6u);
    const AnswerLimits limits{20, {whole.substr(3, 3)}};
    for (const bool together : {false, true})
        EXPECT_EQ(answers(nullptr, limits, together)[1], whole.substr(0, whole.find(limits.stop[0]))) << together;
}

TEST_F(GeneratedAnswers, AStopIsHeard)
{
    const CancellationToken stop;
    stop.cancel();
    for (const bool together : {false, true})
        EXPECT_THROW(generatedAnswers(*m_model, nullptr, m_tokenizer, m_prompts, {20, {}}, together, stop), Error) << together;
    EXPECT_THROW(measureDecodeSpeed(*m_model, &m_mixers, 8, 1, 2, stop), Error);
}

TEST_F(GeneratedAnswers, DecodingIsTimedWithTheMixersThatAreAskedFor)
{
    EXPECT_GT(measureDecodeSpeed(*m_model, &m_mixers, 300, 2, 3), 0);
    DecodingSteps own(*m_model, nullptr, 4096, 2, 1), mixed(*m_model, &m_mixers, 4096, 2, 1);
    EXPECT_EQ(own.stateBytes(), m_model->makeState(2, 4097).bytes());
    EXPECT_EQ(mixed.stateBytes(), m_model->makeState(2, 4097, &m_mixers).bytes());
    EXPECT_NE(own.stateBytes(), mixed.stateBytes());
}

} // namespace
} // namespace postnas::engine
