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
	"os"
	"strings"
	"time"

	everhopv1 "github.com/everhop/everhop/gen/go/everhop/v1"
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

func main() {
	flag.Parse()
	connection, err := grpc.NewClient(*address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	defer connection.Close()
	chat := everhopv1.NewChatServiceClient(connection)

	calls := []struct {
		name string
		run  func(context.Context, everhopv1.ChatServiceClient) (string, *everhopv1.RouteTrail, error)
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
	failed := 0
	for number, call := range calls {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		if *apiKey != "" {
			ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+*apiKey)
		}
		fmt.Printf("%2d %s\n", number+1, call.name)
		result, trail, err := call.run(ctx, chat)
		cancel()
		if err != nil {
			failed++
			result, trail = "FAILED "+describe(err), trailOf(err)
		}
		fmt.Printf("   %s\n", result)
		for _, hop := range hops(trail) {
			fmt.Printf("   > %s\n", hop)
		}
	}
	fmt.Printf("%d passed, %d failed\n", len(calls)-failed, failed)
	if failed > 0 {
		os.Exit(1)
	}
}

// 1. Text in, text out.
func text(ctx context.Context, chat everhopv1.ChatServiceClient) (string, *everhopv1.RouteTrail, error) {
	answer, err := chat.CompleteChat(ctx, &everhopv1.CompleteChatRequest{
		Prompt: &everhopv1.Prompt{
			Model:    *model,
			Messages: []*everhopv1.Message{say(everhopv1.Role_ROLE_USER, "Name a river in Europe.")},
		},
	})
	if err != nil {
		return "", nil, err
	}
	completion := answer.GetCompletion()
	said, err := firstText(completion)
	if err != nil {
		return "", nil, err
	}
	return fmt.Sprintf("%q from %s by %s, %d tokens", said, completion.GetModel(), completion.GetProvider(),
		completion.GetUsage().GetOutputTokens()), answer.GetTrail(), nil
}

// 2. Instructions and a conversation so far.
func history(ctx context.Context, chat everhopv1.ChatServiceClient) (string, *everhopv1.RouteTrail, error) {
	answer, err := chat.CompleteChat(ctx, &everhopv1.CompleteChatRequest{
		Prompt: &everhopv1.Prompt{
			Model: *model,
			Messages: []*everhopv1.Message{
				say(everhopv1.Role_ROLE_SYSTEM, "Answer in one word."),
				say(everhopv1.Role_ROLE_USER, "The capital of France?"),
				say(everhopv1.Role_ROLE_ASSISTANT, "Paris."),
				say(everhopv1.Role_ROLE_USER, "And of Italy?"),
			},
			Sampling:        &everhopv1.Sampling{Temperature: proto.Float64(0)},
			MaxOutputTokens: proto.Int32(200),
		},
	})
	if err != nil {
		return "", nil, err
	}
	said, err := firstText(answer.GetCompletion())
	if err != nil {
		return "", nil, err
	}
	return fmt.Sprintf("%q", said), answer.GetTrail(), nil
}

// 3. A question about an image.
func image(ctx context.Context, chat everhopv1.ChatServiceClient) (string, *everhopv1.RouteTrail, error) {
	answer, err := chat.CompleteChat(ctx, &everhopv1.CompleteChatRequest{
		Prompt: &everhopv1.Prompt{
			Model: *model,
			Messages: []*everhopv1.Message{{
				Role: everhopv1.Role_ROLE_USER,
				Parts: []*everhopv1.Part{
					{Kind: &everhopv1.Part_Text{Text: "What colour is this?"}},
					{Kind: &everhopv1.Part_Media{Media: &everhopv1.Media{
						Source:    &everhopv1.Media_Data{Data: redDot},
						MediaType: "image/png",
					}}},
				},
			}},
		},
	})
	if err != nil {
		return "", nil, err
	}
	said, err := firstText(answer.GetCompletion())
	if err != nil {
		return "", nil, err
	}
	return fmt.Sprintf("%q", said), answer.GetTrail(), nil
}

// 4. A tool: the model asks for it, the program runs it, the model answers with what it told.
func toolCall(ctx context.Context, chat everhopv1.ChatServiceClient) (string, *everhopv1.RouteTrail, error) {
	prompt := &everhopv1.Prompt{
		Model:    *model,
		Messages: []*everhopv1.Message{say(everhopv1.Role_ROLE_USER, "How warm is it in Oslo?")},
		Tools: []*everhopv1.Tool{{Kind: &everhopv1.Tool_Function{Function: &everhopv1.FunctionTool{
			Name:           "get_temperature",
			Description:    "Tells the temperature in a city, in degrees Celsius.",
			ParametersJson: `{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}`,
		}}}},
		ToolChoice: &everhopv1.ToolChoice{Mode: everhopv1.ToolMode_TOOL_MODE_REQUIRED, FunctionName: "get_temperature"},
	}
	asked, err := chat.CompleteChat(ctx, &everhopv1.CompleteChatRequest{Prompt: prompt})
	if err != nil {
		return "", nil, err
	}
	if len(asked.GetCompletion().GetCandidates()) == 0 {
		return "", nil, errors.New("no candidate came")
	}
	candidate := asked.GetCompletion().GetCandidates()[0]
	if candidate.GetFinishReason() != everhopv1.FinishReason_FINISH_REASON_TOOL_CALLS {
		return "", nil, fmt.Errorf("expected FINISH_REASON_TOOL_CALLS, got %s", candidate.GetFinishReason())
	}

	results := &everhopv1.Message{Role: everhopv1.Role_ROLE_TOOL}
	var wishes []string
	for _, part := range candidate.GetMessage().GetParts() {
		wish := part.GetToolCall()
		if wish == nil {
			continue
		}
		var arguments map[string]any
		if err := json.Unmarshal([]byte(wish.GetArgumentsJson()), &arguments); err != nil {
			return "", nil, fmt.Errorf("arguments of %s: %w", wish.GetName(), err)
		}
		if wish.GetId() == "" || wish.GetName() != "get_temperature" {
			return "", nil, fmt.Errorf("expected a call of get_temperature with an id, got %v", wish)
		}
		wishes = append(wishes, fmt.Sprintf("%s(%s)", wish.GetName(), wish.GetArgumentsJson()))
		results.Parts = append(results.Parts, &everhopv1.Part{Kind: &everhopv1.Part_ToolResult{ToolResult: &everhopv1.ToolResult{
			ToolCallId: wish.GetId(),
			Parts:      []*everhopv1.Part{{Kind: &everhopv1.Part_Text{Text: `{"celsius":18}`}}},
		}}})
	}
	if len(wishes) == 0 {
		return "", nil, errors.New("no tool call came")
	}

	prompt.Messages = append(prompt.Messages, candidate.GetMessage(), results)
	prompt.ToolChoice = nil
	answer, err := chat.CompleteChat(ctx, &everhopv1.CompleteChatRequest{Prompt: prompt})
	if err != nil {
		return "", nil, err
	}
	said, err := firstText(answer.GetCompletion())
	if err != nil {
		return "", nil, err
	}
	return fmt.Sprintf("%s, then %q", strings.Join(wishes, ", "), said), answer.GetTrail(), nil
}

// 5. An answer that satisfies a JSON Schema.
func jsonSchema(ctx context.Context, chat everhopv1.ChatServiceClient) (string, *everhopv1.RouteTrail, error) {
	answer, err := chat.CompleteChat(ctx, &everhopv1.CompleteChatRequest{
		Prompt: &everhopv1.Prompt{
			Model:    *model,
			Messages: []*everhopv1.Message{say(everhopv1.Role_ROLE_USER, "The capital of Norway and its population?")},
			ResponseFormat: &everhopv1.ResponseFormat{Format: &everhopv1.ResponseFormat_JsonSchema{JsonSchema: &everhopv1.JsonSchemaFormat{
				Name: "city",
				SchemaJson: `{"type":"object","properties":{"name":{"type":"string"},"population":{"type":"integer"}},` +
					`"required":["name","population"],"additionalProperties":false}`,
				Strict: proto.Bool(true),
			}}},
		},
	})
	if err != nil {
		return "", nil, err
	}
	said, err := firstText(answer.GetCompletion())
	if err != nil {
		return "", nil, err
	}
	var city struct {
		Name       *string `json:"name"`
		Population *int64  `json:"population"`
	}
	if err := json.Unmarshal([]byte(said), &city); err != nil {
		return "", nil, fmt.Errorf("the answer %q: %w", said, err)
	}
	if city.Name == nil || city.Population == nil {
		return "", nil, fmt.Errorf("expected name and population, got %s", said)
	}
	return fmt.Sprintf("name %q, population %d", *city.Name, *city.Population), answer.GetTrail(), nil
}

// 6. Two alternative answers at once.
func twoCandidates(ctx context.Context, chat everhopv1.ChatServiceClient) (string, *everhopv1.RouteTrail, error) {
	answer, err := chat.CompleteChat(ctx, &everhopv1.CompleteChatRequest{
		Prompt: &everhopv1.Prompt{
			Model:          *model,
			Messages:       []*everhopv1.Message{say(everhopv1.Role_ROLE_USER, "Invent a name for a cat.")},
			CandidateCount: proto.Int32(2),
		},
	})
	if err != nil {
		return "", nil, err
	}
	candidates := answer.GetCompletion().GetCandidates()
	if len(candidates) != 2 {
		return "", nil, fmt.Errorf("expected two candidates, got %d", len(candidates))
	}
	for index, candidate := range candidates {
		if candidate.GetIndex() != int32(index) || textOf(candidate) == "" {
			return "", nil, fmt.Errorf("expected candidate %d with text, got %v", index, candidate)
		}
	}
	return fmt.Sprintf("%q or %q", textOf(candidates[0]), textOf(candidates[1])), answer.GetTrail(), nil
}

// 7. How sure the model was of each token.
func logprobs(ctx context.Context, chat everhopv1.ChatServiceClient) (string, *everhopv1.RouteTrail, error) {
	answer, err := chat.CompleteChat(ctx, &everhopv1.CompleteChatRequest{
		Prompt: &everhopv1.Prompt{
			Model:    *model,
			Messages: []*everhopv1.Message{say(everhopv1.Role_ROLE_USER, "Heads or tails?")},
			Logprobs: &everhopv1.LogprobsOptions{TopCount: 2},
		},
	})
	if err != nil {
		return "", nil, err
	}
	if _, err := firstText(answer.GetCompletion()); err != nil {
		return "", nil, err
	}
	tokens := answer.GetCompletion().GetCandidates()[0].GetLogprobs()
	if len(tokens) == 0 {
		return "", nil, errors.New("no log probabilities came")
	}
	for _, token := range tokens {
		if token.GetLogprob() > 0 || len(token.GetTop()) > 2 {
			return "", nil, fmt.Errorf("expected a logarithm of a probability and at most two alternatives, got %v", token)
		}
	}
	first := tokens[0]
	return fmt.Sprintf("%d tokens, the first %q at %.3f with %d alternatives",
		len(tokens), first.GetToken(), first.GetLogprob(), len(first.GetTop())), answer.GetTrail(), nil
}

// 8. An answer that ends where a text would come.
func stopSequence(ctx context.Context, chat everhopv1.ChatServiceClient) (string, *everhopv1.RouteTrail, error) {
	answer, err := chat.CompleteChat(ctx, &everhopv1.CompleteChatRequest{
		Prompt: &everhopv1.Prompt{
			Model:         *model,
			Messages:      []*everhopv1.Message{say(everhopv1.Role_ROLE_USER, "Repeat: one two three four five")},
			StopSequences: []string{"four"},
		},
	})
	if err != nil {
		return "", nil, err
	}
	said, err := firstText(answer.GetCompletion())
	if err != nil {
		return "", nil, err
	}
	reason := answer.GetCompletion().GetCandidates()[0].GetFinishReason()
	if strings.Contains(said, "four") || reason != everhopv1.FinishReason_FINISH_REASON_STOP {
		return "", nil, fmt.Errorf("expected an end before \"four\", got %q with %s", said, reason)
	}
	return fmt.Sprintf("%q", said), answer.GetTrail(), nil
}

// 9. An answer as it comes. The trail stands in the last event.
func stream(ctx context.Context, chat everhopv1.ChatServiceClient) (string, *everhopv1.RouteTrail, error) {
	events, err := chat.StreamChat(ctx, &everhopv1.StreamChatRequest{
		Prompt: &everhopv1.Prompt{
			Model:    *model,
			Messages: []*everhopv1.Message{say(everhopv1.Role_ROLE_USER, "Tell a story in three sentences.")},
		},
	})
	if err != nil {
		return "", nil, err
	}
	completion := &everhopv1.Completion{}
	var trail *everhopv1.RouteTrail
	var printed strings.Builder
	ended := false
	fmt.Print("   ")
	for {
		response, err := events.Recv()
		if err == io.EOF {
			break
		}
		if err != nil {
			fmt.Println()
			return "", nil, err // The trail stands in its details: trailOf.
		}
		event := response.GetEvent()
		delta := event.GetPartDelta().GetText() // Empty for every other event.
		fmt.Print(delta)
		printed.WriteString(delta)
		if err := fold(completion, event); err != nil {
			return "", nil, err
		}
		if end := event.GetEnd(); end != nil {
			ended, trail = true, end.GetTrail()
		}
	}
	fmt.Println()
	if !ended {
		return "", nil, errors.New("the stream closed without its end event")
	}
	said, err := firstText(completion)
	if err != nil {
		return "", nil, err
	}
	if said != printed.String() {
		return "", nil, fmt.Errorf("folded %q, printed %q", said, printed.String())
	}
	return fmt.Sprintf("%d characters, %d tokens, %s", len([]rune(said)), completion.GetUsage().GetOutputTokens(),
		completion.GetCandidates()[0].GetFinishReason()), trail, nil
}

// 10. A call that fails. It passes when it fails as it should.
func unknownModel(ctx context.Context, chat everhopv1.ChatServiceClient) (string, *everhopv1.RouteTrail, error) {
	_, err := chat.CompleteChat(ctx, &everhopv1.CompleteChatRequest{
		Prompt: &everhopv1.Prompt{
			Model:    "no-such-model",
			Messages: []*everhopv1.Message{say(everhopv1.Role_ROLE_USER, "Hello?")},
		},
	})
	if err == nil {
		return "", nil, errors.New("expected NOT_FOUND, got an answer")
	}
	if status.Code(err) != codes.NotFound || reasonOf(err) != "MODEL_NOT_FOUND" {
		return "", nil, err
	}
	return describe(err), trailOf(err), nil
}

// say makes a message of one text.
func say(role everhopv1.Role, text string) *everhopv1.Message {
	return &everhopv1.Message{Role: role, Parts: []*everhopv1.Part{{Kind: &everhopv1.Part_Text{Text: text}}}}
}

// textOf joins what a candidate says. Its other parts, such as reasoning and tool calls, have no text here.
func textOf(candidate *everhopv1.Candidate) string {
	var text strings.Builder
	for _, part := range candidate.GetMessage().GetParts() {
		text.WriteString(part.GetText())
	}
	return text.String()
}

// firstText is the text of the first candidate. It is an error when there is none.
func firstText(completion *everhopv1.Completion) (string, error) {
	if len(completion.GetCandidates()) == 0 {
		return "", errors.New("no candidate came")
	}
	text := textOf(completion.GetCandidates()[0])
	if text == "" {
		return "", fmt.Errorf("no text came, but %v", completion.GetCandidates()[0])
	}
	return text, nil
}

// fold adds one event of a stream to the completion. After the last event it is what CompleteChat would have answered.
func fold(completion *everhopv1.Completion, event *everhopv1.CompletionEvent) error {
	switch kind := event.GetKind().(type) {
	case *everhopv1.CompletionEvent_Start:
		completion.Id, completion.Model = kind.Start.GetId(), kind.Start.GetModel()
		completion.Provider, completion.CreateTime = kind.Start.GetProvider(), kind.Start.GetCreateTime()
	case *everhopv1.CompletionEvent_PartStart:
		message := candidateAt(completion, kind.PartStart.GetCandidateIndex()).Message
		if int(kind.PartStart.GetPartIndex()) != len(message.GetParts()) {
			return fmt.Errorf("part %d started out of turn", kind.PartStart.GetPartIndex())
		}
		message.Parts = append(message.Parts, kind.PartStart.GetHead())
	case *everhopv1.CompletionEvent_PartDelta:
		candidate := candidateAt(completion, kind.PartDelta.GetCandidateIndex())
		candidate.Logprobs = append(candidate.Logprobs, kind.PartDelta.GetLogprobs()...)
		part, err := partAt(candidate, kind.PartDelta.GetPartIndex())
		if err != nil {
			return err
		}
		return appendDelta(part, kind.PartDelta)
	case *everhopv1.CompletionEvent_PartEnd:
		part, err := partAt(candidateAt(completion, kind.PartEnd.GetCandidateIndex()), kind.PartEnd.GetPartIndex())
		if err != nil {
			return err
		}
		if signature := kind.PartEnd.GetSignature(); len(signature) > 0 {
			switch part := part.GetKind().(type) {
			case *everhopv1.Part_Reasoning:
				part.Reasoning.Signature = signature
			case *everhopv1.Part_ToolCall:
				part.ToolCall.Signature = signature
			}
		}
	case *everhopv1.CompletionEvent_CandidateEnd:
		candidate := candidateAt(completion, kind.CandidateEnd.GetCandidateIndex())
		candidate.FinishReason = kind.CandidateEnd.GetFinishReason()
		candidate.NativeFinishReason = kind.CandidateEnd.GetNativeFinishReason()
		candidate.ExtensionJson = kind.CandidateEnd.GetExtensionJson()
	case *everhopv1.CompletionEvent_End:
		completion.Usage, completion.ExtensionJson = kind.End.GetUsage(), kind.End.GetExtensionJson()
	}
	return nil // Events of a kind that is not known yet are passed over.
}

// candidateAt finds a candidate, or adds it when its first part begins. Events of different candidates may come in any order.
func candidateAt(completion *everhopv1.Completion, index int32) *everhopv1.Candidate {
	for int(index) >= len(completion.Candidates) {
		completion.Candidates = append(completion.Candidates, &everhopv1.Candidate{
			Index:   int32(len(completion.Candidates)),
			Message: &everhopv1.Message{Role: everhopv1.Role_ROLE_ASSISTANT},
		})
	}
	return completion.Candidates[index]
}

func partAt(candidate *everhopv1.Candidate, index int32) (*everhopv1.Part, error) {
	parts := candidate.GetMessage().GetParts()
	if int(index) >= len(parts) {
		return nil, fmt.Errorf("part %d has not started", index)
	}
	return parts[index], nil
}

func appendDelta(part *everhopv1.Part, delta *everhopv1.PartDelta) error {
	switch part := part.GetKind().(type) {
	case *everhopv1.Part_Text:
		part.Text += delta.GetText()
	case *everhopv1.Part_Refusal:
		part.Refusal += delta.GetRefusal()
	case *everhopv1.Part_Reasoning:
		part.Reasoning.Text += delta.GetReasoning()
	case *everhopv1.Part_ToolCall:
		part.ToolCall.ArgumentsJson += delta.GetArgumentsJson()
	case nil: // A part of a kind that is not known yet.
	default:
		return fmt.Errorf("a delta for a part of %T", part)
	}
	return nil
}

// reasonOf reads why a call failed: a stable word, made for programs.
func reasonOf(err error) string {
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			return info.GetReason()
		}
	}
	return ""
}

// trailOf reads the way that a failed call took: nil when it failed before any provider was asked.
func trailOf(err error) *everhopv1.RouteTrail {
	for _, detail := range status.Convert(err).Details() {
		if trail, ok := detail.(*everhopv1.RouteTrail); ok {
			return trail
		}
	}
	return nil
}

// describe says why a call failed in one line.
func describe(err error) string {
	failure, ok := status.FromError(err)
	if !ok {
		return err.Error()
	}
	line := fmt.Sprintf("%s: %s", failure.Code(), failure.Message())
	for _, detail := range failure.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			line += fmt.Sprintf(" [%s of %s]", detail.GetReason(), detail.GetDomain())
		case *errdetails.BadRequest:
			for _, violation := range detail.GetFieldViolations() {
				line += fmt.Sprintf(" [%s: %s]", violation.GetField(), violation.GetDescription())
			}
		case *errdetails.RetryInfo:
			line += fmt.Sprintf(" [try again in %s]", detail.GetRetryDelay().AsDuration())
		}
	}
	return line
}

// hops says line by line what was tried and what was passed over, in the order in which it happened.
func hops(trail *everhopv1.RouteTrail) []string {
	var lines []string
	skips := trail.GetSkips()
	passOver := func(until int32) {
		for len(skips) > 0 && skips[0].GetBeforeAttempt() <= until {
			lines = append(lines, fmt.Sprintf("%s passed over: %s", skips[0].GetEndpoint(), word(skips[0].GetReason())))
			skips = skips[1:]
		}
	}
	for _, attempt := range trail.GetAttempts() {
		passOver(attempt.GetIndex())
		line := fmt.Sprintf("%s %s in %s", attempt.GetEndpoint(), word(attempt.GetOutcome()), attempt.GetDuration().AsDuration().Round(time.Millisecond))
		if attempt.GetHttpStatus() != 0 {
			line += fmt.Sprintf(" (HTTP %d)", attempt.GetHttpStatus())
		}
		lines = append(lines, line)
	}
	passOver(1<<31 - 1)
	return lines
}

// word shortens the name of an enum value: ATTEMPT_OUTCOME_OVERLOAD becomes overload.
func word(value fmt.Stringer) string {
	name := value.String()
	for _, prefix := range []string{"ATTEMPT_OUTCOME_", "SKIP_REASON_"} {
		name = strings.TrimPrefix(name, prefix)
	}
	return strings.ToLower(name)
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
