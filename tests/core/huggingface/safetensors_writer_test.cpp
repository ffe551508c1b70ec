// The safetensors writer: what it writes is read back, files appear whole or not at all, shards match their index.
#include <csignal>
#include <numeric>

#include <sys/resource.h>

#include <gmock/gmock.h>

#include "tests/core/huggingface/model_files.h"

namespace postnas {
namespace {

namespace fs = std::filesystem;

template <typename T>
std::span<const std::byte> bytesOf(const std::vector<T>& values)
{
    return std::as_bytes(std::span(values));
}

std::vector<std::string> filesIn(const fs::path& folder)
{
    std::vector<std::string> names;
    for (const fs::directory_entry& entry : fs::directory_iterator(folder))
        names.push_back(entry.path().filename().string());
    std::sort(names.begin(), names.end());
    return names;
}

TEST(SafetensorsWriter, WritesWhatTheReaderReads)
{
    const test::TemporaryFolder folder;
    const std::vector<std::uint8_t> odd = {1, 2, 3};
    std::vector<float> values(6);
    std::iota(values.begin(), values.end(), 0.5f);
    const std::vector<std::int64_t> ids = {-1, 7};
    SafetensorsWriter writer;
    writer.add("odd \"name\"\n", DType::U8, {3}, bytesOf(odd));
    writer.add("values", DType::F32, {2, 3}, bytesOf(values));
    writer.add("empty", DType::F64, {0, 5}, std::span<const std::byte>());
    // A producer may give its bytes in parts.
    writer.add("ids", DType::I64, {2}, [&](const SafetensorsWriter::Sink& sink) {
        sink(bytesOf(ids).first(8));
        sink(bytesOf(ids).subspan(8));
    });
    EXPECT_EQ(writer.dataBytes(), 3u + 24u + 16u);
    writer.write(folder / "a.safetensors", {{"format", "pt"}, {"note", "ü \"quoted\""}});

    const SafetensorsFile file = SafetensorsFile::open(folder / "a.safetensors");
    EXPECT_EQ(file.metadata().at("note"), "ü \"quoted\"");
    EXPECT_EQ(file.at("values").shape, (std::vector<std::uint64_t>{2, 3}));
    EXPECT_EQ(std::memcmp(file.at("values").data.data(), values.data(), 24), 0);
    EXPECT_EQ(std::memcmp(file.at("ids").data.data(), ids.data(), 16), 0);
    EXPECT_EQ(std::memcmp(file.at("odd \"name\"\n").data.data(), odd.data(), 3), 0);
    EXPECT_EQ(file.at("empty").shape, (std::vector<std::uint64_t>{0, 5}));
    // Aligned in the file, and so in every map of it, although an odd number of bytes was added first.
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(file.at("ids").data.data()) % 8, 0u);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(file.at("values").data.data()) % 4, 0u);
    EXPECT_EQ(filesIn(folder.path()), std::vector<std::string>{"a.safetensors"});
}

TEST(SafetensorsWriter, AFailureLeavesTheOldFileAndNothingElse)
{
    const test::TemporaryFolder folder;
    test::writeFile(folder / "a.safetensors", "old");
    SafetensorsWriter writer;
    const std::vector<float> values(1000);
    writer.add("good", DType::F32, {1000}, bytesOf(values));
    writer.add("bad", DType::F32, {1000}, [](const SafetensorsWriter::Sink&) { throw resourceError("the device is gone"); });
    EXPECT_THROW(writer.write(folder / "a.safetensors"), Error);
    EXPECT_THROW(writer.writeModel(folder.path(), 100), Error);
    EXPECT_EQ(test::readFile(folder / "a.safetensors"), "old");
    EXPECT_EQ(filesIn(folder.path()), std::vector<std::string>{"a.safetensors"});
}

/// Makes every write past `bytes` of a file fail, as a full disk does.
class FileSizeLimit {
public:
    explicit FileSizeLimit(rlim_t bytes)
    {
        ::getrlimit(RLIMIT_FSIZE, &m_old);
        const rlimit limit{bytes, m_old.rlim_max};
        m_handler = ::signal(SIGXFSZ, SIG_IGN);
        ::setrlimit(RLIMIT_FSIZE, &limit);
    }
    ~FileSizeLimit()
    {
        ::setrlimit(RLIMIT_FSIZE, &m_old);
        ::signal(SIGXFSZ, m_handler);
    }

private:
    rlimit m_old{};
    void (*m_handler)(int) = nullptr;
};

ErrorClass classOf(const std::function<void()>& action)
{
    try {
        action();
    } catch (const Error& e) {
        return e.errorClass();
    }
    return ErrorClass::Internal;
}

TEST(SafetensorsWriter, ADiskThatFillsUpIsAResourceErrorAndLeavesNothingHalfWritten)
{
    const test::TemporaryFolder folder;
    const std::vector<float> small(16, 1.0f), large(100'000, 2.0f);
    SafetensorsWriter writer;
    writer.add("small", DType::F32, {16}, bytesOf(small));
    writer.add("large", DType::F32, {100'000}, bytesOf(large));
    {
        const FileSizeLimit limit(50'000);
        EXPECT_EQ(classOf([&] { writer.write(folder / "a.safetensors"); }), ErrorClass::Resource);
        // The first shard would fit: it must not appear either.
        EXPECT_EQ(classOf([&] { writer.writeModel(folder.path(), 100); }), ErrorClass::Resource);
    }
    EXPECT_TRUE(filesIn(folder.path()).empty());
    EXPECT_EQ(classOf([&] { writer.write(folder / "no" / "such.safetensors"); }), ErrorClass::Resource);
}

TEST(SafetensorsWriter, MoreThanTheDiskHasIsRefusedBeforeTheFirstByte)
{
    const test::TemporaryFolder folder;
    SafetensorsWriter writer;
    writer.add("huge", DType::U8, {std::uint64_t{1} << 60}, [](const SafetensorsWriter::Sink&) { FAIL() << "must not be asked"; });
    EXPECT_EQ(classOf([&] { writer.write(folder / "a.safetensors"); }), ErrorClass::Resource);
    EXPECT_TRUE(filesIn(folder.path()).empty());
}

TEST(SafetensorsWriter, RefusesSizesAndNamesThatDoNotFit)
{
    SafetensorsWriter writer;
    const std::vector<float> values(4);
    EXPECT_THROW(writer.add("w", DType::F32, {5}, bytesOf(values)), Error);
    SafetensorsWriter twice;
    twice.add("w", DType::F32, {4}, bytesOf(values));
    EXPECT_THROW(twice.add("w", DType::F32, {4}, bytesOf(values)), Error);
    EXPECT_THROW(twice.add("__metadata__", DType::F32, {4}, bytesOf(values)), Error);
    const test::TemporaryFolder folder;
    SafetensorsWriter shortProducer;
    shortProducer.add("w", DType::F32, {4}, [&](const SafetensorsWriter::Sink& sink) { sink(bytesOf(values).first(12)); });
    EXPECT_THROW(shortProducer.write(folder / "a.safetensors"), Error);
    EXPECT_TRUE(filesIn(folder.path()).empty());
}

TEST(SafetensorsWriter, ShardsAndReplacesEarlierSaves)
{
    const test::TemporaryFolder folder;
    std::vector<std::vector<float>> data;
    for (int i = 0; i < 5; ++i)
        data.emplace_back(25, static_cast<float>(i));
    SafetensorsWriter writer;
    for (int i = 0; i < 5; ++i)
        writer.add("t" + std::to_string(i), DType::F32, {25}, bytesOf(data[static_cast<std::size_t>(i)]));

    writer.writeModel(folder.path(), 1000);
    EXPECT_EQ(filesIn(folder.path()), std::vector<std::string>{"model.safetensors"});
    writer.writeModel(folder.path(), 200); // 100 bytes each: two a shard
    EXPECT_EQ(filesIn(folder.path()),
              (std::vector<std::string>{"model-00001-of-00003.safetensors", "model-00002-of-00003.safetensors",
                                        "model-00003-of-00003.safetensors", "model.safetensors.index.json"}));
    const Json index = readJsonFile(folder / "model.safetensors.index.json");
    EXPECT_EQ(index["metadata"]["total_size"], 500);
    EXPECT_EQ(index["weight_map"].size(), 5u);
    EXPECT_EQ(index["weight_map"]["t2"], "model-00002-of-00003.safetensors");
    float value = -1;
    std::memcpy(&value, SafetensorsFile::open(folder / "model-00002-of-00003.safetensors").at("t3").data.data(), 4);
    EXPECT_EQ(value, 3.0f);
    writer.writeModel(folder.path(), 1);
    EXPECT_EQ(filesIn(folder.path()).size(), 6u);
    writer.writeModel(folder.path(), 1000);
    EXPECT_EQ(filesIn(folder.path()), std::vector<std::string>{"model.safetensors"});
}

} // namespace
} // namespace postnas
