// Ten calls to an Everhop gateway. Each is a function of its own, made to be copied.
package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"time"

	everhop "github.com/everhop/everhop/gen/go/everhop/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails" // Without this import the details of an error cannot be read.
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

var (
	address = flag.String("address", env("EVERHOP_ADDRESS", "127.0.0.1:8000"), "where the gateway listens")
	apiKey  = flag.String("api-key", env("EVERHOP_API_KEY", ""), "key of the caller; none for an open gateway")
	model   = flag.String("model", "", "model to ask; the gateway's default when empty")
)

var calls = []struct {
	name string
	run  func(context.Context, everhop.ChatServiceClient) error
}{
	{"text", text},
	{"system and history", history},
	{"image", image},
	{"tool call", toolCall},
	{"JSON schema", jsonSchema},
	{"two candidates", twoCandidates},
	{"logprobs", logprobs},
	{"stop sequence", stopSequence},
	{"stream", stream},
	{"error", unknownModel},
}

func main() {
	flag.Parse()
	connection, err := grpc.NewClient(*address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	defer connection.Close()
	chat := everhop.NewChatServiceClient(connection)

	failed := 0
	for number, call := range calls {
		fmt.Printf("%d. %s\n", number+1, call.name)
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		if *apiKey != "" {
			ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+*apiKey)
		}
		if err := call.run(ctx, chat); err != nil {
			failed++
			fmt.Println("FAILED", describe(err))
			printHops(trailOf(err))
		}
		cancel()
	}
	fmt.Printf("%d passed, %d failed\n", len(calls)-failed, failed)
	if failed > 0 {
		os.Exit(1)
	}
}

// 1. Text in, text out.
func text(ctx context.Context, chat everhop.ChatServiceClient) error {
	answer, err := chat.CompleteChat(ctx, &everhop.CompleteChatRequest{
		Prompt: &everhop.Prompt{
			Model:    *model,
			Messages: []*everhop.Message{say(everhop.Role_ROLE_USER, "Name a river in Europe.")},
		},
	})
	if err != nil {
		return err
	}
	completion := answer.GetCompletion()
	said, err := firstText(completion)
	if err != nil {
		return err
	}
	fmt.Printf("%q from %s by %s, %d tokens\n", said, completion.GetModel(), completion.GetProvider(), completion.GetUsage().GetOutputTokens())
	printHops(answer.GetTrail())
	return nil
}

// 2. Instructions and a conversation so far.
func history(ctx context.Context, chat everhop.ChatServiceClient) error {
	answer, err := chat.CompleteChat(ctx, &everhop.CompleteChatRequest{
		Prompt: &everhop.Prompt{
			Model: *model,
			Messages: []*everhop.Message{
				say(everhop.Role_ROLE_SYSTEM, "Answer in one word."),
				say(everhop.Role_ROLE_USER, "The capital of France?"),
				say(everhop.Role_ROLE_ASSISTANT, "Paris."),
				say(everhop.Role_ROLE_USER, "And of Italy?"),
			},
			Sampling:        &everhop.Sampling{Temperature: proto.Float64(0)},
			MaxOutputTokens: 200,
		},
	})
	if err != nil {
		return err
	}
	said, err := firstText(answer.GetCompletion())
	if err != nil {
		return err
	}
	fmt.Printf("%q\n", said)
	printHops(answer.GetTrail())
	return nil
}

// 3. A question about an image.
func image(ctx context.Context, chat everhop.ChatServiceClient) error {
	answer, err := chat.CompleteChat(ctx, &everhop.CompleteChatRequest{
		Prompt: &everhop.Prompt{
			Model: *model,
			Messages: []*everhop.Message{{
				Role: everhop.Role_ROLE_USER,
				Parts: []*everhop.Part{
					{Kind: &everhop.Part_Text{Text: "What colour is this?"}},
					{Kind: &everhop.Part_Media{Media: &everhop.Media{
						Source:    &everhop.Media_Data{Data: redDot},
						MediaType: "image/png",
					}}},
				},
			}},
		},
	})
	if err != nil {
		return err
	}
	said, err := firstText(answer.GetCompletion())
	if err != nil {
		return err
	}
	fmt.Printf("%q\n", said)
	printHops(answer.GetTrail())
	return nil
}

// 4. A tool: the model asks for it, the program runs it, the model answers with what it told.
func toolCall(ctx context.Context, chat everhop.ChatServiceClient) error {
	prompt := &everhop.Prompt{
		Model:    *model,
		Messages: []*everhop.Message{say(everhop.Role_ROLE_USER, "How warm is it in Oslo?")},
		Tools: []*everhop.Tool{{Kind: &everhop.Tool_Function{Function: &everhop.FunctionTool{
			Name:           "get_temperature",
			Description:    "Tells the temperature in a city, in degrees Celsius.",
			ParametersJson: `{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}`,
		}}}},
		ToolChoice: &everhop.ToolChoice{FunctionName: "get_temperature"}, // Without it the model decides whether to call.
	}
	asked, err := chat.CompleteChat(ctx, &everhop.CompleteChatRequest{Prompt: prompt})
	if err != nil {
		return err
	}
	candidate, err := firstCandidate(asked.GetCompletion())
	if err != nil {
		return err
	}
	if candidate.GetFinishReason() != everhop.FinishReason_FINISH_REASON_TOOL_CALLS {
		return fmt.Errorf("expected FINISH_REASON_TOOL_CALLS, got %s", candidate.GetFinishReason())
	}

	results := &everhop.Message{Role: everhop.Role_ROLE_TOOL} // One result for each call.
	for _, part := range candidate.GetMessage().GetParts() {
		wish := part.GetToolCall()
		if wish == nil {
			continue // Models may think or talk before they call.
		}
		if wish.GetId() == "" || wish.GetName() != "get_temperature" {
			return fmt.Errorf("expected a call of get_temperature with an id, got %v", wish)
		}
		var arguments struct{ City *string }
		if err := json.Unmarshal([]byte(wish.GetArgumentsJson()), &arguments); err != nil || arguments.City == nil {
			return fmt.Errorf("expected arguments with a city, got %s", wish.GetArgumentsJson())
		}
		fmt.Printf("%s of %q is wanted\n", wish.GetName(), *arguments.City)
		results.Parts = append(results.Parts, &everhop.Part{Kind: &everhop.Part_ToolResult{ToolResult: &everhop.ToolResult{
			ToolCallId: wish.GetId(),
			Parts:      []*everhop.Part{{Kind: &everhop.Part_Text{Text: `{"celsius":18}`}}},
		}}})
	}
	if len(results.GetParts()) == 0 {
		return errors.New("no tool call came")
	}

	prompt.Messages = append(prompt.Messages, candidate.GetMessage(), results) // The model's own message goes back as it came.
	prompt.ToolChoice = nil
	answer, err := chat.CompleteChat(ctx, &everhop.CompleteChatRequest{Prompt: prompt})
	if err != nil {
		return err
	}
	said, err := firstText(answer.GetCompletion())
	if err != nil {
		return err
	}
	fmt.Printf("%q\n", said)
	printHops(answer.GetTrail())
	return nil
}

// 5. An answer that satisfies a JSON Schema.
func jsonSchema(ctx context.Context, chat everhop.ChatServiceClient) error {
	answer, err := chat.CompleteChat(ctx, &everhop.CompleteChatRequest{
		Prompt: &everhop.Prompt{
			Model:    *model,
			Messages: []*everhop.Message{say(everhop.Role_ROLE_USER, "The capital of Norway and its population?")},
			ResponseFormat: &everhop.Prompt_JsonSchema{JsonSchema: &everhop.JsonSchemaFormat{
				Name: "city",
				SchemaJson: `{"type":"object","properties":{"name":{"type":"string"},"population":{"type":"integer"}},` +
					`"required":["name","population"],"additionalProperties":false}`,
				Strict: proto.Bool(true),
			}},
		},
	})
	if err != nil {
		return err
	}
	said, err := firstText(answer.GetCompletion())
	if err != nil {
		return err
	}
	var city struct {
		Name       *string
		Population *int64
	}
	if err := json.Unmarshal([]byte(said), &city); err != nil {
		return fmt.Errorf("the answer %q: %w", said, err)
	}
	if city.Name == nil || city.Population == nil {
		return fmt.Errorf("expected name and population, got %s", said)
	}
	fmt.Printf("name %q, population %d\n", *city.Name, *city.Population)
	printHops(answer.GetTrail())
	return nil
}

// 6. Two alternative answers at once.
func twoCandidates(ctx context.Context, chat everhop.ChatServiceClient) error {
	answer, err := chat.CompleteChat(ctx, &everhop.CompleteChatRequest{
		Prompt: &everhop.Prompt{
			Model:          *model,
			Messages:       []*everhop.Message{say(everhop.Role_ROLE_USER, "Invent a name for a cat.")},
			CandidateCount: 2,
		},
	})
	if err != nil {
		return err
	}
	candidates := answer.GetCompletion().GetCandidates()
	if len(candidates) != 2 {
		return fmt.Errorf("expected two candidates, got %d", len(candidates))
	}
	for index, candidate := range candidates {
		if candidate.GetIndex() != int32(index) || textOf(candidate) == "" {
			return fmt.Errorf("expected candidate %d with text, got %v", index, candidate)
		}
	}
	fmt.Printf("%q or %q\n", textOf(candidates[0]), textOf(candidates[1]))
	printHops(answer.GetTrail())
	return nil
}

// 7. How sure the model was of each token.
func logprobs(ctx context.Context, chat everhop.ChatServiceClient) error {
	answer, err := chat.CompleteChat(ctx, &everhop.CompleteChatRequest{
		Prompt: &everhop.Prompt{
			Model:    *model,
			Messages: []*everhop.Message{say(everhop.Role_ROLE_USER, "Heads or tails?")},
			Logprobs: &everhop.LogprobsOptions{TopCount: 2},
		},
	})
	if err != nil {
		return err
	}
	if _, err := firstText(answer.GetCompletion()); err != nil {
		return err
	}
	tokens := answer.GetCompletion().GetCandidates()[0].GetLogprobs()
	if len(tokens) == 0 {
		return errors.New("no log probabilities came")
	}
	for _, token := range tokens {
		if token.GetLogprob() > 0 || len(token.GetAlternatives()) > 2 {
			return fmt.Errorf("expected a logarithm of a probability and at most two alternatives, got %v", token)
		}
	}
	first := tokens[0]
	fmt.Printf("%d tokens, the first %q at %.0f%% with %d alternatives\n",
		len(tokens), first.GetToken(), 100*math.Exp(first.GetLogprob()), len(first.GetAlternatives()))
	printHops(answer.GetTrail())
	return nil
}

// 8. An answer that ends where a text would come.
func stopSequence(ctx context.Context, chat everhop.ChatServiceClient) error {
	answer, err := chat.CompleteChat(ctx, &everhop.CompleteChatRequest{
		Prompt: &everhop.Prompt{
			Model:         *model,
			Messages:      []*everhop.Message{say(everhop.Role_ROLE_USER, "Repeat: one two three four five")},
			StopSequences: []string{"four"},
		},
	})
	if err != nil {
		return err
	}
	said, err := firstText(answer.GetCompletion())
	if err != nil {
		return err
	}
	reason := answer.GetCompletion().GetCandidates()[0].GetFinishReason()
	if strings.Contains(said, "four") || reason != everhop.FinishReason_FINISH_REASON_STOP {
		return fmt.Errorf("expected an end before \"four\", got %q with %s", said, reason)
	}
	fmt.Printf("%q\n", said)
	printHops(answer.GetTrail())
	return nil
}

// 9. An answer as it comes. Who wants only the text needs neither completion nor fold.
func stream(ctx context.Context, chat everhop.ChatServiceClient) error {
	events, err := chat.StreamChat(ctx, &everhop.StreamChatRequest{
		Prompt: &everhop.Prompt{
			Model:    *model,
			Messages: []*everhop.Message{say(everhop.Role_ROLE_USER, "Tell a story in three sentences.")},
		},
	})
	if err != nil {
		return err
	}
	completion := &everhop.Completion{}
	var end *everhop.CompletionEnd
	var printed strings.Builder
	for {
		response, err := events.Recv()
		if err == io.EOF {
			break
		}
		if err != nil {
			fmt.Println()
			return err
		}
		event := response.GetEvent()
		delta := event.GetPartDelta().GetText() // Empty for every other event.
		fmt.Print(delta)
		printed.WriteString(delta)
		if err := fold(completion, event); err != nil {
			return err
		}
		if event.GetEnd() != nil {
			end = event.GetEnd() // The trail stands here.
		}
	}
	fmt.Println()
	if end == nil {
		return errors.New("the stream closed without its end event")
	}
	said, err := firstText(completion)
	if err != nil {
		return err
	}
	if said != printed.String() {
		return fmt.Errorf("folded %q, printed %q", said, printed.String())
	}
	fmt.Printf("%d characters, %d tokens, %s\n", len([]rune(said)), completion.GetUsage().GetOutputTokens(), completion.GetCandidates()[0].GetFinishReason())
	printHops(end.GetTrail())
	return nil
}

// 10. A call that fails. It passes when it fails as it should.
func unknownModel(ctx context.Context, chat everhop.ChatServiceClient) error {
	_, err := chat.CompleteChat(ctx, &everhop.CompleteChatRequest{
		Prompt: &everhop.Prompt{
			Model:    "no-such-model",
			Messages: []*everhop.Message{say(everhop.Role_ROLE_USER, "Hello?")},
		},
	})
	if err == nil {
		return errors.New("expected NOT_FOUND, got an answer")
	}
	if status.Code(err) != codes.NotFound || reasonOf(err) != "MODEL_NOT_FOUND" {
		return err
	}
	fmt.Println(describe(err))
	printHops(trailOf(err))
	return nil
}

// say makes a message of one text.
func say(role everhop.Role, text string) *everhop.Message {
	return &everhop.Message{Role: role, Parts: []*everhop.Part{{Kind: &everhop.Part_Text{Text: text}}}}
}

// textOf joins what a candidate says. Its other parts, such as reasoning and tool calls, have no text here.
func textOf(candidate *everhop.Candidate) string {
	var text strings.Builder
	for _, part := range candidate.GetMessage().GetParts() {
		text.WriteString(part.GetText())
	}
	return text.String()
}

// firstCandidate is usually the only one. It is an error when there is none.
func firstCandidate(completion *everhop.Completion) (*everhop.Candidate, error) {
	if len(completion.GetCandidates()) == 0 {
		return nil, errors.New("no candidate came")
	}
	return completion.GetCandidates()[0], nil
}

// firstText is the text of the first candidate. It is an error when there is none.
func firstText(completion *everhop.Completion) (string, error) {
	candidate, err := firstCandidate(completion)
	if err != nil {
		return "", err
	}
	text := textOf(candidate)
	if text == "" {
		return "", fmt.Errorf("no text came, but %v", candidate)
	}
	return text, nil
}

// fold adds one event of a stream to the completion. After the last event it is what CompleteChat would have answered.
// Events and parts of a kind that is not known yet are passed over.
func fold(completion *everhop.Completion, event *everhop.CompletionEvent) error {
	switch kind := event.GetKind().(type) {
	case *everhop.CompletionEvent_Start:
		start := kind.Start
		completion.Id, completion.Model, completion.Provider, completion.CreateTime = start.Id, start.Model, start.Provider, start.CreateTime
	case *everhop.CompletionEvent_PartStart:
		message := candidateAt(completion, kind.PartStart.CandidateIndex).Message
		if int(kind.PartStart.PartIndex) != len(message.Parts) {
			return fmt.Errorf("part %d started out of turn", kind.PartStart.PartIndex)
		}
		message.Parts = append(message.Parts, kind.PartStart.Head)
	case *everhop.CompletionEvent_PartDelta:
		delta := kind.PartDelta
		candidate := candidateAt(completion, delta.CandidateIndex)
		candidate.Logprobs = append(candidate.Logprobs, delta.Logprobs...)
		part, err := partAt(candidate, delta.PartIndex)
		if err != nil {
			return err
		}
		switch kind := part.Kind.(type) {
		case *everhop.Part_Text:
			kind.Text += delta.GetText()
		case *everhop.Part_Reasoning:
			kind.Reasoning += delta.GetReasoning()
		case *everhop.Part_Refusal:
			kind.Refusal += delta.GetRefusal()
		case *everhop.Part_ToolCall:
			kind.ToolCall.ArgumentsJson += delta.GetArgumentsJson()
		case nil:
		default:
			return fmt.Errorf("a delta for a part of %T", kind)
		}
	case *everhop.CompletionEvent_PartEnd:
		part, err := partAt(candidateAt(completion, kind.PartEnd.CandidateIndex), kind.PartEnd.PartIndex)
		if err != nil {
			return err
		}
		if signature := kind.PartEnd.Signature; len(signature) > 0 {
			part.Signature = signature
		}
	case *everhop.CompletionEvent_CandidateEnd:
		candidate := candidateAt(completion, kind.CandidateEnd.CandidateIndex)
		candidate.FinishReason = kind.CandidateEnd.FinishReason
		candidate.NativeFinishReason = kind.CandidateEnd.NativeFinishReason
		candidate.ExtensionJson = kind.CandidateEnd.ExtensionJson
	case *everhop.CompletionEvent_End:
		completion.Usage, completion.ExtensionJson = kind.End.Usage, kind.End.ExtensionJson
	}
	return nil
}

// candidateAt finds a candidate, or adds it when its first part begins. Events of different candidates may come in any order.
func candidateAt(completion *everhop.Completion, index int32) *everhop.Candidate {
	for int(index) >= len(completion.Candidates) {
		completion.Candidates = append(completion.Candidates, &everhop.Candidate{
			Index:   int32(len(completion.Candidates)),
			Message: &everhop.Message{Role: everhop.Role_ROLE_ASSISTANT},
		})
	}
	return completion.Candidates[index]
}

func partAt(candidate *everhop.Candidate, index int32) (*everhop.Part, error) {
	if int(index) >= len(candidate.Message.Parts) {
		return nil, fmt.Errorf("part %d has not started", index)
	}
	return candidate.Message.Parts[index], nil
}

// detailOf finds the detail of one type that a failed call carries: the zero value, nil, when it carries none.
func detailOf[T proto.Message](err error) (found T) {
	for _, detail := range status.Convert(err).Details() {
		if detail, ok := detail.(T); ok {
			return detail
		}
	}
	return found
}

// reasonOf reads why a call failed: a stable word, made for programs.
func reasonOf(err error) string {
	return detailOf[*errdetails.ErrorInfo](err).GetReason()
}

// trailOf reads the way that a failed call took: nil when it failed before any provider was asked.
func trailOf(err error) *everhop.RouteTrail {
	return detailOf[*everhop.RouteTrail](err)
}

// describe says why a call failed in one line.
func describe(err error) string {
	failure, ok := status.FromError(err)
	if !ok {
		return err.Error()
	}
	line := fmt.Sprintf("%s: %s", failure.Code(), failure.Message())
	if info := detailOf[*errdetails.ErrorInfo](err); info != nil {
		line += fmt.Sprintf(" [%s of %s]", info.GetReason(), info.GetDomain())
	}
	for _, violation := range detailOf[*errdetails.BadRequest](err).GetFieldViolations() {
		line += fmt.Sprintf(" [%s: %s]", violation.GetField(), violation.GetDescription())
	}
	if retry := detailOf[*errdetails.RetryInfo](err); retry != nil {
		line += fmt.Sprintf(" [try again in %s]", retry.GetRetryDelay().AsDuration())
	}
	return line
}

// printHops says line by line what was tried and what was passed over, in the order in which it happened.
func printHops(trail *everhop.RouteTrail) {
	skips := trail.GetSkips()
	passOver := func(until int32) {
		for len(skips) > 0 && skips[0].GetBeforeAttempt() <= until {
			fmt.Printf("  > %s passed over: %s\n", skips[0].GetEndpoint(), word(skips[0].GetReason()))
			skips = skips[1:]
		}
	}
	for _, attempt := range trail.GetAttempts() {
		passOver(attempt.GetIndex())
		fmt.Printf("  > %s %s in %s", attempt.GetEndpoint(), word(attempt.GetOutcome()), attempt.GetDuration().AsDuration().Round(time.Millisecond))
		if attempt.GetHttpStatus() != 0 {
			fmt.Printf(" (HTTP %d)", attempt.GetHttpStatus())
		}
		fmt.Println()
	}
	passOver(math.MaxInt32)
}

// word shortens the name of an enum value: ATTEMPT_OUTCOME_RATE_LIMITED becomes rate limited. A later version's value stays a number.
func word(value fmt.Stringer) string {
	name := value.String()
	for _, prefix := range []string{"ATTEMPT_OUTCOME_", "SKIP_REASON_"} {
		name = strings.TrimPrefix(name, prefix)
	}
	return strings.ToLower(strings.ReplaceAll(name, "_", " "))
}

func env(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}

// redDot is a PNG of one red pixel.
var redDot, _ = base64.StdEncoding.DecodeString(
	"iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC")
