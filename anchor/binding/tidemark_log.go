// Code generated via abigen V2 - DO NOT EDIT.
// This file is a generated binding and any manual changes will be lost.
//lint:file-ignore ST1005 abigen writes an error with a capital

package binding

import (
	"bytes"
	"errors"
	"math/big"

	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/accounts/abi/bind/v2"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
)

// Reference imports to suppress errors if they are not otherwise used.
var (
	_ = bytes.Equal
	_ = errors.New
	_ = big.NewInt
	_ = common.Big1
	_ = types.BloomLookup
	_ = abi.ConvertType
)

// TidemarkLogCheckpoint is an auto generated low-level Go binding around an user-defined struct.
type TidemarkLogCheckpoint struct {
	Id    [32]byte
	Size  uint64
	Root  [32]byte
	Proof [][32]byte
}

// TidemarkLogLog is an auto generated low-level Go binding around an user-defined struct.
type TidemarkLogLog struct {
	Publisher common.Address
	Size      uint64
	Seq       uint32
	Root      [32]byte
	Rotator   common.Address
	Proposed  common.Address
}

// TidemarkLogMetaData contains all meta data concerning the TidemarkLog contract.
var TidemarkLogMetaData = bind.MetaData{
	ABI: "[{\"type\":\"function\",\"name\":\"acceptPublisher\",\"inputs\":[{\"name\":\"id\",\"type\":\"bytes32\",\"internalType\":\"bytes32\"}],\"outputs\":[],\"stateMutability\":\"nonpayable\"},{\"type\":\"function\",\"name\":\"anchor\",\"inputs\":[{\"name\":\"id\",\"type\":\"bytes32\",\"internalType\":\"bytes32\"},{\"name\":\"size\",\"type\":\"uint64\",\"internalType\":\"uint64\"},{\"name\":\"root\",\"type\":\"bytes32\",\"internalType\":\"bytes32\"},{\"name\":\"proof\",\"type\":\"bytes32[]\",\"internalType\":\"bytes32[]\"}],\"outputs\":[],\"stateMutability\":\"nonpayable\"},{\"type\":\"function\",\"name\":\"anchorBySig\",\"inputs\":[{\"name\":\"id\",\"type\":\"bytes32\",\"internalType\":\"bytes32\"},{\"name\":\"size\",\"type\":\"uint64\",\"internalType\":\"uint64\"},{\"name\":\"root\",\"type\":\"bytes32\",\"internalType\":\"bytes32\"},{\"name\":\"proof\",\"type\":\"bytes32[]\",\"internalType\":\"bytes32[]\"},{\"name\":\"deadline\",\"type\":\"uint256\",\"internalType\":\"uint256\"},{\"name\":\"signature\",\"type\":\"bytes\",\"internalType\":\"bytes\"}],\"outputs\":[],\"stateMutability\":\"nonpayable\"},{\"type\":\"function\",\"name\":\"anchorMany\",\"inputs\":[{\"name\":\"checkpoints\",\"type\":\"tuple[]\",\"internalType\":\"structTidemarkLog.Checkpoint[]\",\"components\":[{\"name\":\"id\",\"type\":\"bytes32\",\"internalType\":\"bytes32\"},{\"name\":\"size\",\"type\":\"uint64\",\"internalType\":\"uint64\"},{\"name\":\"root\",\"type\":\"bytes32\",\"internalType\":\"bytes32\"},{\"name\":\"proof\",\"type\":\"bytes32[]\",\"internalType\":\"bytes32[]\"}]}],\"outputs\":[],\"stateMutability\":\"nonpayable\"},{\"type\":\"function\",\"name\":\"consistencyHolds\",\"inputs\":[{\"name\":\"first\",\"type\":\"uint64\",\"internalType\":\"uint64\"},{\"name\":\"firstRoot\",\"type\":\"bytes32\",\"internalType\":\"bytes32\"},{\"name\":\"second\",\"type\":\"uint64\",\"internalType\":\"uint64\"},{\"name\":\"secondRoot\",\"type\":\"bytes32\",\"internalType\":\"bytes32\"},{\"name\":\"proof\",\"type\":\"bytes32[]\",\"internalType\":\"bytes32[]\"}],\"outputs\":[{\"name\":\"\",\"type\":\"bool\",\"internalType\":\"bool\"}],\"stateMutability\":\"view\"},{\"type\":\"function\",\"name\":\"domainSeparator\",\"inputs\":[],\"outputs\":[{\"name\":\"\",\"type\":\"bytes32\",\"internalType\":\"bytes32\"}],\"stateMutability\":\"view\"},{\"type\":\"function\",\"name\":\"getLog\",\"inputs\":[{\"name\":\"id\",\"type\":\"bytes32\",\"internalType\":\"bytes32\"}],\"outputs\":[{\"name\":\"\",\"type\":\"tuple\",\"internalType\":\"structTidemarkLog.Log\",\"components\":[{\"name\":\"publisher\",\"type\":\"address\",\"internalType\":\"address\"},{\"name\":\"size\",\"type\":\"uint64\",\"internalType\":\"uint64\"},{\"name\":\"seq\",\"type\":\"uint32\",\"internalType\":\"uint32\"},{\"name\":\"root\",\"type\":\"bytes32\",\"internalType\":\"bytes32\"},{\"name\":\"rotator\",\"type\":\"address\",\"internalType\":\"address\"},{\"name\":\"proposed\",\"type\":\"address\",\"internalType\":\"address\"}]}],\"stateMutability\":\"view\"},{\"type\":\"function\",\"name\":\"idOf\",\"inputs\":[{\"name\":\"logId\",\"type\":\"bytes32\",\"internalType\":\"bytes32\"},{\"name\":\"publisher\",\"type\":\"address\",\"internalType\":\"address\"},{\"name\":\"rotator\",\"type\":\"address\",\"internalType\":\"address\"}],\"outputs\":[{\"name\":\"\",\"type\":\"bytes32\",\"internalType\":\"bytes32\"}],\"stateMutability\":\"pure\"},{\"type\":\"function\",\"name\":\"inclusionHolds\",\"inputs\":[{\"name\":\"index\",\"type\":\"uint64\",\"internalType\":\"uint64\"},{\"name\":\"size\",\"type\":\"uint64\",\"internalType\":\"uint64\"},{\"name\":\"leafHash\",\"type\":\"bytes32\",\"internalType\":\"bytes32\"},{\"name\":\"root\",\"type\":\"bytes32\",\"internalType\":\"bytes32\"},{\"name\":\"proof\",\"type\":\"bytes32[]\",\"internalType\":\"bytes32[]\"}],\"outputs\":[{\"name\":\"\",\"type\":\"bool\",\"internalType\":\"bool\"}],\"stateMutability\":\"view\"},{\"type\":\"function\",\"name\":\"open\",\"inputs\":[{\"name\":\"logId\",\"type\":\"bytes32\",\"internalType\":\"bytes32\"},{\"name\":\"publisher\",\"type\":\"address\",\"internalType\":\"address\"},{\"name\":\"rotator\",\"type\":\"address\",\"internalType\":\"address\"}],\"outputs\":[{\"name\":\"id\",\"type\":\"bytes32\",\"internalType\":\"bytes32\"}],\"stateMutability\":\"nonpayable\"},{\"type\":\"function\",\"name\":\"proposePublisher\",\"inputs\":[{\"name\":\"id\",\"type\":\"bytes32\",\"internalType\":\"bytes32\"},{\"name\":\"next\",\"type\":\"address\",\"internalType\":\"address\"}],\"outputs\":[],\"stateMutability\":\"nonpayable\"},{\"type\":\"function\",\"name\":\"verifyInclusion\",\"inputs\":[{\"name\":\"id\",\"type\":\"bytes32\",\"internalType\":\"bytes32\"},{\"name\":\"index\",\"type\":\"uint64\",\"internalType\":\"uint64\"},{\"name\":\"leafHash\",\"type\":\"bytes32\",\"internalType\":\"bytes32\"},{\"name\":\"proof\",\"type\":\"bytes32[]\",\"internalType\":\"bytes32[]\"}],\"outputs\":[{\"name\":\"\",\"type\":\"bool\",\"internalType\":\"bool\"}],\"stateMutability\":\"view\"},{\"type\":\"function\",\"name\":\"verifyRow\",\"inputs\":[{\"name\":\"id\",\"type\":\"bytes32\",\"internalType\":\"bytes32\"},{\"name\":\"header\",\"type\":\"bytes\",\"internalType\":\"bytes\"},{\"name\":\"headerProof\",\"type\":\"bytes32[]\",\"internalType\":\"bytes32[]\"},{\"name\":\"pos\",\"type\":\"uint64\",\"internalType\":\"uint64\"},{\"name\":\"rowHash\",\"type\":\"bytes32\",\"internalType\":\"bytes32\"},{\"name\":\"rowProof\",\"type\":\"bytes32[]\",\"internalType\":\"bytes32[]\"}],\"outputs\":[{\"name\":\"\",\"type\":\"bool\",\"internalType\":\"bool\"}],\"stateMutability\":\"view\"},{\"type\":\"event\",\"name\":\"Anchored\",\"inputs\":[{\"name\":\"id\",\"type\":\"bytes32\",\"indexed\":true,\"internalType\":\"bytes32\"},{\"name\":\"size\",\"type\":\"uint64\",\"indexed\":true,\"internalType\":\"uint64\"},{\"name\":\"root\",\"type\":\"bytes32\",\"indexed\":false,\"internalType\":\"bytes32\"},{\"name\":\"seq\",\"type\":\"uint32\",\"indexed\":false,\"internalType\":\"uint32\"},{\"name\":\"prevSize\",\"type\":\"uint64\",\"indexed\":false,\"internalType\":\"uint64\"}],\"anonymous\":false},{\"type\":\"event\",\"name\":\"Opened\",\"inputs\":[{\"name\":\"id\",\"type\":\"bytes32\",\"indexed\":true,\"internalType\":\"bytes32\"},{\"name\":\"logId\",\"type\":\"bytes32\",\"indexed\":true,\"internalType\":\"bytes32\"},{\"name\":\"publisher\",\"type\":\"address\",\"indexed\":false,\"internalType\":\"address\"},{\"name\":\"rotator\",\"type\":\"address\",\"indexed\":false,\"internalType\":\"address\"}],\"anonymous\":false},{\"type\":\"event\",\"name\":\"PublisherChanged\",\"inputs\":[{\"name\":\"id\",\"type\":\"bytes32\",\"indexed\":true,\"internalType\":\"bytes32\"},{\"name\":\"previous\",\"type\":\"address\",\"indexed\":true,\"internalType\":\"address\"},{\"name\":\"next\",\"type\":\"address\",\"indexed\":true,\"internalType\":\"address\"}],\"anonymous\":false},{\"type\":\"event\",\"name\":\"PublisherProposed\",\"inputs\":[{\"name\":\"id\",\"type\":\"bytes32\",\"indexed\":true,\"internalType\":\"bytes32\"},{\"name\":\"next\",\"type\":\"address\",\"indexed\":true,\"internalType\":\"address\"}],\"anonymous\":false},{\"type\":\"error\",\"name\":\"AlreadyOpen\",\"inputs\":[{\"name\":\"id\",\"type\":\"bytes32\",\"internalType\":\"bytes32\"}]},{\"type\":\"error\",\"name\":\"InconsistentCheckpoint\",\"inputs\":[{\"name\":\"id\",\"type\":\"bytes32\",\"internalType\":\"bytes32\"},{\"name\":\"current\",\"type\":\"uint64\",\"internalType\":\"uint64\"},{\"name\":\"size\",\"type\":\"uint64\",\"internalType\":\"uint64\"}]},{\"type\":\"error\",\"name\":\"MalformedSignature\",\"inputs\":[]},{\"type\":\"error\",\"name\":\"NotProposed\",\"inputs\":[{\"name\":\"id\",\"type\":\"bytes32\",\"internalType\":\"bytes32\"},{\"name\":\"caller\",\"type\":\"address\",\"internalType\":\"address\"},{\"name\":\"proposed\",\"type\":\"address\",\"internalType\":\"address\"}]},{\"type\":\"error\",\"name\":\"NotPublisher\",\"inputs\":[{\"name\":\"id\",\"type\":\"bytes32\",\"internalType\":\"bytes32\"},{\"name\":\"caller\",\"type\":\"address\",\"internalType\":\"address\"},{\"name\":\"publisher\",\"type\":\"address\",\"internalType\":\"address\"}]},{\"type\":\"error\",\"name\":\"NotRotator\",\"inputs\":[{\"name\":\"id\",\"type\":\"bytes32\",\"internalType\":\"bytes32\"},{\"name\":\"caller\",\"type\":\"address\",\"internalType\":\"address\"},{\"name\":\"rotator\",\"type\":\"address\",\"internalType\":\"address\"}]},{\"type\":\"error\",\"name\":\"PublisherIsZero\",\"inputs\":[]},{\"type\":\"error\",\"name\":\"SignatureExpired\",\"inputs\":[{\"name\":\"deadline\",\"type\":\"uint256\",\"internalType\":\"uint256\"}]},{\"type\":\"error\",\"name\":\"SizeNotGrowing\",\"inputs\":[{\"name\":\"id\",\"type\":\"bytes32\",\"internalType\":\"bytes32\"},{\"name\":\"current\",\"type\":\"uint64\",\"internalType\":\"uint64\"},{\"name\":\"size\",\"type\":\"uint64\",\"internalType\":\"uint64\"}]}]",
	ID:  "TidemarkLog",
	Bin: "0x6080604052348015600e575f5ffd5b50611ad98061001c5f395ff3fe608060405234801561000f575f5ffd5b50600436106100da575f3560e01c8063702ab8ac11610088578063edcf081d11610063578063edcf081d14610324578063eed9615814610337578063efa9165d1461034a578063f698da251461035d575f5ffd5b8063702ab8ac146102eb578063cd7bda57146102fe578063e1c9611814610311575f5ffd5b80635bb5b6fb116100b85780635bb5b6fb1461012e5780635c92808b1461014f5780637010416e14610162575f5ffd5b80631a66d125146100de5780634d359630146101065780634df636c31461011b575b5f5ffd5b6100f16100ec3660046114b5565b610404565b60405190151581526020015b60405180910390f35b610119610114366004611518565b610456565b005b61011961012936600461157a565b6104c2565b61014161013c3660046115a4565b6105c6565b6040519081526020016100fd565b6100f161015d3660046115dd565b610622565b61024e610170366004611650565b6040805160c0810182525f80825260208201819052918101829052606081018290526080810182905260a0810191909152505f9081526020818152604091829020825160c081018452815473ffffffffffffffffffffffffffffffffffffffff808216835274010000000000000000000000000000000000000000820467ffffffffffffffff16948301949094527c0100000000000000000000000000000000000000000000000000000000900463ffffffff169381019390935260018101546060840152600281015482166080840152600301541660a082015290565b6040516100fd91905f60c08201905073ffffffffffffffffffffffffffffffffffffffff835116825267ffffffffffffffff602084015116602083015263ffffffff60408401511660408301526060830151606083015273ffffffffffffffffffffffffffffffffffffffff608084015116608083015273ffffffffffffffffffffffffffffffffffffffff60a08401511660a083015292915050565b6100f16102f9366004611667565b6107bd565b6100f161030c3660046116fa565b6108d3565b61011961031f3660046117be565b610ace565b6101416103323660046115a4565b610c97565b6101196103453660046114b5565b610ded565b610119610358366004611650565b610e02565b610141604080517f8b73c3c69bb8fe3d512ecc4cf759cc79239f7b179b0ffacaa9a75d522b39400f60208201527f5c12f30add363fe806a1c77c844a06e98eac52aaa0e7371c664660d2bcdaf465918101919091527fc89efdaa54c0f20c7adf612882df0950f5a951637e0307cdcb4c672f298b8bc660608201524660808201523060a08201525f9060c00160405160208183030381529060405280519060200120905090565b5f8581526020819052604081208054600182015461044b9188917401000000000000000000000000000000000000000090910467ffffffffffffffff1690889088886107bd565b979650505050505050565b5f5b818110156104bd573683838381811061047357610473611859565b90506020028101906104859190611886565b90506104b433823561049d60408501602086016118c2565b60408501356104af60608701876118e2565b610f0b565b50600101610458565b505050565b5f828152602081905260409020600281015473ffffffffffffffffffffffffffffffffffffffff1633146105525760028101546040517f1df198ef0000000000000000000000000000000000000000000000000000000081526004810185905233602482015273ffffffffffffffffffffffffffffffffffffffff90911660448201526064015b60405180910390fd5b6003810180547fffffffffffffffffffffffff00000000000000000000000000000000000000001673ffffffffffffffffffffffffffffffffffffffff841690811790915560405184907fc5ff7fd80aae7140367199969715f2c73949baeb55800fc4d4e61f77ad37a1c3905f90a3505050565b5f8383836040516020016106039392919092835273ffffffffffffffffffffffffffffffffffffffff918216602084015216604082015260600190565b6040516020818303038152906040528051906020012090509392505050565b5f67ffffffffffffffff8716158061064e57508467ffffffffffffffff168767ffffffffffffffff1610155b80610657575081155b1561066357505f6107b3565b5f610679600167ffffffffffffffff8a16611973565b90505f610691600167ffffffffffffffff8916611973565b90505b816001166001036106ab57600191821c911c610694565b5f82156106b95760016106bb565b5f5b60ff1690505f83156106e55786865f8181106106d9576106d9611859565b905060200201356106e7565b895b9050805b8683101561079357835f03610707575f955050505050506107b3565b600583901b8801356001808716900361072f57610725818484611205565b909350915061077e565b84860361077157610741818484611205565b90935091505b6001861615801561075757508515155b1561076c57600195861c959490941c93610747565b61077e565b61077b828261126a565b91505b50600194851c9493841c9392909201916106eb565b831580156107a057508a82145b80156107ab57508881145b955050505050505b9695505050505050565b5f8567ffffffffffffffff168767ffffffffffffffff16106107e057505f6107b3565b67ffffffffffffffff808816905f906107fd906001908a16611973565b9050865f5b858110156108b757825f0361081d575f9450505050506107b3565b836001166001148061082e57508284145b156108825761085587878381811061084857610848611859565b905060200201358361126a565b91505b6001841615801561086857508315155b1561087d57600193841c939290921c91610858565b6108a7565b6108a48288888481811061089857610898611859565b9050602002013561126a565b91505b600193841c9392831c9201610802565b50811580156108c557508681145b9a9950505050505050505050565b5f61010088141580610926575088885f8181106108f2576108f2611859565b9050013560f81c60f81b7effffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff1916600260f81b14155b8061097357508888600181811061093f5761093f611859565b9050013560f81c60f81b7effffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff1916600160f81b14155b1561097f57505f610ac1565b5f8a81526020818152604080832090519092916002916109a59184918f918f910161198c565b604080517fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe0818403018152908290526109dd916119c7565b602060405180830381855afa1580156109f8573d5f5f3e3d5ffd5b5050506040513d601f19601f82011682018060405250810190610a1b91906119dd565b90505f610a2c603060288d8f6119f4565b610a3591611a1b565b60c01c9050610a6381845f0160149054906101000a900467ffffffffffffffff168486600101548e8e6107bd565b610a72575f9350505050610ac1565b610abb888d8d603890604092610a8a939291906119f4565b610a9391611a1b565b60c01c898f8f60809060a092610aab939291906119f4565b610ab491611a81565b8a8a6107bd565b93505050505b9998505050505050505050565b82421115610b0b576040517fcd21db4f00000000000000000000000000000000000000000000000000000000815260048101849052602401610549565b5f610bb3604080517f8b73c3c69bb8fe3d512ecc4cf759cc79239f7b179b0ffacaa9a75d522b39400f60208201527f5c12f30add363fe806a1c77c844a06e98eac52aaa0e7371c664660d2bcdaf465918101919091527fc89efdaa54c0f20c7adf612882df0950f5a951637e0307cdcb4c672f298b8bc660608201524660808201523060a08201525f9060c00160405160208183030381529060405280519060200120905090565b604080517f0391990fdcdf339a3f95a5500cf37d3f4155ad09cd47d6ad209978f6f96602ee60208201529081018b905267ffffffffffffffff8a1660608201526080810189905260a0810186905260c00160405160208183030381529060405280519060200120604051602001610c5c9291907f190100000000000000000000000000000000000000000000000000000000000081526002810192909252602282015260420190565b604051602081830303815290604052805190602001209050610c8c610c8282858561129f565b8a8a8a8a8a610f0b565b505050505050505050565b5f73ffffffffffffffffffffffffffffffffffffffff8316610ce5576040517f15fff55900000000000000000000000000000000000000000000000000000000815260040160405180910390fd5b610cf08484846105c6565b5f81815260208190526040902080549192509073ffffffffffffffffffffffffffffffffffffffff1615610d53576040517f869d901000000000000000000000000000000000000000000000000000000000815260048101839052602401610549565b805473ffffffffffffffffffffffffffffffffffffffff8581167fffffffffffffffffffffffff000000000000000000000000000000000000000092831681178455600284018054928716929093168217909255604080519283526020830191909152869184917f7ad3d889d080c6a93232fe8fe63d4fc5506c5bc8966eafceaf944160107e218d910160405180910390a3509392505050565b610dfb338686868686610f0b565b5050505050565b5f818152602081905260409020600381015473ffffffffffffffffffffffffffffffffffffffff163314610e8d5760038101546040517fc5cefb0a0000000000000000000000000000000000000000000000000000000081526004810184905233602482015273ffffffffffffffffffffffffffffffffffffffff9091166044820152606401610549565b8054604051339173ffffffffffffffffffffffffffffffffffffffff169084907fca9dd10051facb87697c20b213fddc1424581d0699217a5a2f48f8ad55fc27bd905f90a480547fffffffffffffffffffffffff00000000000000000000000000000000000000009081163317825560039091018054909116905550565b5f858152602081905260409020805473ffffffffffffffffffffffffffffffffffffffff8082169174010000000000000000000000000000000000000000810467ffffffffffffffff16917c010000000000000000000000000000000000000000000000000000000090910463ffffffff16908a168314610fdf576040517f47cb6531000000000000000000000000000000000000000000000000000000008152600481018a905273ffffffffffffffffffffffffffffffffffffffff808c16602483015284166044820152606401610549565b8167ffffffffffffffff168867ffffffffffffffff1611611047576040517f719ef680000000000000000000000000000000000000000000000000000000008152600481018a905267ffffffffffffffff808416602483015289166044820152606401610549565b5f67ffffffffffffffff83161561106f5761106a8386600101548b8b8b8b610622565b611072565b85155b9050806110c6576040517f6abc3360000000000000000000000000000000000000000000000000000000008152600481018b905267ffffffffffffffff80851660248301528a166044820152606401610549565b83896110d3846001611abd565b60018881018c9055885473ffffffffffffffffffffffffffffffffffffffff9081167c010000000000000000000000000000000000000000000000000000000063ffffffff94909416939093027fffffffff0000000000000000ffffffffffffffffffffffffffffffffffffffff16929092177401000000000000000000000000000000000000000067ffffffffffffffff94851602177fffffffffffffffffffffffff000000000000000000000000000000000000000016939091169290921787558a16908b907f2f57c9494e15812c89c3ea051e4d4d3cf6b4c7c75b2c50f61fdaf41b131a5095908b906111ca908790611abd565b6040805192835263ffffffff909116602083015267ffffffffffffffff88169082015260600160405180910390a35050505050505050505050565b5f5f6040516001815385600182015284602182015260205f60418360025afa60203d1416611231575f5ffd5b5f5192508291508385146112615783602182015260205f60418360025afa60203d141661125c575f5ffd5b5f5191505b50935093915050565b5f6040516001815383600182015282602182015260205f60418360025afa60203d1416611295575f5ffd5b50505f5192915050565b5f604182146112da576040517f55a1e16e00000000000000000000000000000000000000000000000000000000815260040160405180910390fd5b5f6112e96040602085876119f4565b6112f291611a81565b90507f7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a081111561134e576040517f55a1e16e00000000000000000000000000000000000000000000000000000000815260040160405180910390fd5b6001858585604081811061136457611364611859565b919091013560f81c905061137b60205f888a6119f4565b61138491611a81565b604080515f8152602081018083529490945260ff9092169183019190915260608201526080810183905260a0016020604051602081039080840390855afa1580156113d1573d5f5f3e3d5ffd5b50506040517fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe0015192505073ffffffffffffffffffffffffffffffffffffffff8216611449576040517f55a1e16e00000000000000000000000000000000000000000000000000000000815260040160405180910390fd5b509392505050565b803567ffffffffffffffff81168114611468575f5ffd5b919050565b5f5f83601f84011261147d575f5ffd5b50813567ffffffffffffffff811115611494575f5ffd5b6020830191508360208260051b85010111156114ae575f5ffd5b9250929050565b5f5f5f5f5f608086880312156114c9575f5ffd5b853594506114d960208701611451565b935060408601359250606086013567ffffffffffffffff8111156114fb575f5ffd5b6115078882890161146d565b969995985093965092949392505050565b5f5f60208385031215611529575f5ffd5b823567ffffffffffffffff81111561153f575f5ffd5b61154b8582860161146d565b90969095509350505050565b803573ffffffffffffffffffffffffffffffffffffffff81168114611468575f5ffd5b5f5f6040838503121561158b575f5ffd5b8235915061159b60208401611557565b90509250929050565b5f5f5f606084860312156115b6575f5ffd5b833592506115c660208501611557565b91506115d460408501611557565b90509250925092565b5f5f5f5f5f5f60a087890312156115f2575f5ffd5b6115fb87611451565b95506020870135945061161060408801611451565b935060608701359250608087013567ffffffffffffffff811115611632575f5ffd5b61163e89828a0161146d565b979a9699509497509295939492505050565b5f60208284031215611660575f5ffd5b5035919050565b5f5f5f5f5f5f60a0878903121561167c575f5ffd5b61168587611451565b955061169360208801611451565b94506040870135935060608701359250608087013567ffffffffffffffff811115611632575f5ffd5b5f5f83601f8401126116cc575f5ffd5b50813567ffffffffffffffff8111156116e3575f5ffd5b6020830191508360208285010111156114ae575f5ffd5b5f5f5f5f5f5f5f5f5f60c08a8c031215611712575f5ffd5b8935985060208a013567ffffffffffffffff81111561172f575f5ffd5b61173b8c828d016116bc565b90995097505060408a013567ffffffffffffffff81111561175a575f5ffd5b6117668c828d0161146d565b9097509550611779905060608b01611451565b935060808a0135925060a08a013567ffffffffffffffff81111561179b575f5ffd5b6117a78c828d0161146d565b915080935050809150509295985092959850929598565b5f5f5f5f5f5f5f5f60c0898b0312156117d5575f5ffd5b883597506117e560208a01611451565b965060408901359550606089013567ffffffffffffffff811115611807575f5ffd5b6118138b828c0161146d565b9096509450506080890135925060a089013567ffffffffffffffff811115611839575f5ffd5b6118458b828c016116bc565b999c989b5096995094979396929594505050565b7f4e487b71000000000000000000000000000000000000000000000000000000005f52603260045260245ffd5b5f82357fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff818336030181126118b8575f5ffd5b9190910192915050565b5f602082840312156118d2575f5ffd5b6118db82611451565b9392505050565b5f5f83357fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe1843603018112611915575f5ffd5b83018035915067ffffffffffffffff82111561192f575f5ffd5b6020019150600581901b36038213156114ae575f5ffd5b7f4e487b71000000000000000000000000000000000000000000000000000000005f52601160045260245ffd5b8181038181111561198657611986611946565b92915050565b7fff0000000000000000000000000000000000000000000000000000000000000084168152818360018301375f910160010190815292915050565b5f82518060208501845e5f920191825250919050565b5f602082840312156119ed575f5ffd5b5051919050565b5f5f85851115611a02575f5ffd5b83861115611a0e575f5ffd5b5050820193919092039150565b80357fffffffffffffffff0000000000000000000000000000000000000000000000008116906008841015611a7a577fffffffffffffffff000000000000000000000000000000000000000000000000808560080360031b1b82161691505b5092915050565b80356020831015611986577fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff602084900360031b1b1692915050565b63ffffffff81811683821601908111156119865761198661194656",
}

// TidemarkLog is an auto generated Go binding around an Ethereum contract.
type TidemarkLog struct {
	abi abi.ABI
}

// GetABI returns the ABI associated with this contract binding.
func (c *TidemarkLog) GetABI() abi.ABI {
	return c.abi
}

// NewTidemarkLog creates a new instance of TidemarkLog.
func NewTidemarkLog() *TidemarkLog {
	parsed, err := TidemarkLogMetaData.ParseABI()
	if err != nil {
		panic(errors.New("invalid ABI: " + err.Error()))
	}
	return &TidemarkLog{abi: *parsed}
}

// Instance creates a wrapper for a deployed contract instance at the given address.
// Use this to create the instance object passed to abigen v2 library functions Call, Transact, etc.
func (c *TidemarkLog) Instance(backend bind.ContractBackend, addr common.Address) *bind.BoundContract {
	return bind.NewBoundContract(addr, c.abi, backend, backend, backend)
}

// PackAcceptPublisher is the Go binding used to pack the parameters required for calling
// the contract method with ID 0xefa9165d.  This method will panic if any
// invalid/nil inputs are passed.
//
// Solidity: function acceptPublisher(bytes32 id) returns()
func (tidemarkLog *TidemarkLog) PackAcceptPublisher(id [32]byte) []byte {
	enc, err := tidemarkLog.abi.Pack("acceptPublisher", id)
	if err != nil {
		panic(err)
	}
	return enc
}

// TryPackAcceptPublisher is the Go binding used to pack the parameters required for calling
// the contract method with ID 0xefa9165d.  This method will return an error
// if any inputs are invalid/nil.
//
// Solidity: function acceptPublisher(bytes32 id) returns()
func (tidemarkLog *TidemarkLog) TryPackAcceptPublisher(id [32]byte) ([]byte, error) {
	return tidemarkLog.abi.Pack("acceptPublisher", id)
}

// PackAnchor is the Go binding used to pack the parameters required for calling
// the contract method with ID 0xeed96158.  This method will panic if any
// invalid/nil inputs are passed.
//
// Solidity: function anchor(bytes32 id, uint64 size, bytes32 root, bytes32[] proof) returns()
func (tidemarkLog *TidemarkLog) PackAnchor(id [32]byte, size uint64, root [32]byte, proof [][32]byte) []byte {
	enc, err := tidemarkLog.abi.Pack("anchor", id, size, root, proof)
	if err != nil {
		panic(err)
	}
	return enc
}

// TryPackAnchor is the Go binding used to pack the parameters required for calling
// the contract method with ID 0xeed96158.  This method will return an error
// if any inputs are invalid/nil.
//
// Solidity: function anchor(bytes32 id, uint64 size, bytes32 root, bytes32[] proof) returns()
func (tidemarkLog *TidemarkLog) TryPackAnchor(id [32]byte, size uint64, root [32]byte, proof [][32]byte) ([]byte, error) {
	return tidemarkLog.abi.Pack("anchor", id, size, root, proof)
}

// PackAnchorBySig is the Go binding used to pack the parameters required for calling
// the contract method with ID 0xe1c96118.  This method will panic if any
// invalid/nil inputs are passed.
//
// Solidity: function anchorBySig(bytes32 id, uint64 size, bytes32 root, bytes32[] proof, uint256 deadline, bytes signature) returns()
func (tidemarkLog *TidemarkLog) PackAnchorBySig(id [32]byte, size uint64, root [32]byte, proof [][32]byte, deadline *big.Int, signature []byte) []byte {
	enc, err := tidemarkLog.abi.Pack("anchorBySig", id, size, root, proof, deadline, signature)
	if err != nil {
		panic(err)
	}
	return enc
}

// TryPackAnchorBySig is the Go binding used to pack the parameters required for calling
// the contract method with ID 0xe1c96118.  This method will return an error
// if any inputs are invalid/nil.
//
// Solidity: function anchorBySig(bytes32 id, uint64 size, bytes32 root, bytes32[] proof, uint256 deadline, bytes signature) returns()
func (tidemarkLog *TidemarkLog) TryPackAnchorBySig(id [32]byte, size uint64, root [32]byte, proof [][32]byte, deadline *big.Int, signature []byte) ([]byte, error) {
	return tidemarkLog.abi.Pack("anchorBySig", id, size, root, proof, deadline, signature)
}

// PackAnchorMany is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x4d359630.  This method will panic if any
// invalid/nil inputs are passed.
//
// Solidity: function anchorMany((bytes32,uint64,bytes32,bytes32[])[] checkpoints) returns()
func (tidemarkLog *TidemarkLog) PackAnchorMany(checkpoints []TidemarkLogCheckpoint) []byte {
	enc, err := tidemarkLog.abi.Pack("anchorMany", checkpoints)
	if err != nil {
		panic(err)
	}
	return enc
}

// TryPackAnchorMany is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x4d359630.  This method will return an error
// if any inputs are invalid/nil.
//
// Solidity: function anchorMany((bytes32,uint64,bytes32,bytes32[])[] checkpoints) returns()
func (tidemarkLog *TidemarkLog) TryPackAnchorMany(checkpoints []TidemarkLogCheckpoint) ([]byte, error) {
	return tidemarkLog.abi.Pack("anchorMany", checkpoints)
}

// PackConsistencyHolds is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x5c92808b.  This method will panic if any
// invalid/nil inputs are passed.
//
// Solidity: function consistencyHolds(uint64 first, bytes32 firstRoot, uint64 second, bytes32 secondRoot, bytes32[] proof) view returns(bool)
func (tidemarkLog *TidemarkLog) PackConsistencyHolds(first uint64, firstRoot [32]byte, second uint64, secondRoot [32]byte, proof [][32]byte) []byte {
	enc, err := tidemarkLog.abi.Pack("consistencyHolds", first, firstRoot, second, secondRoot, proof)
	if err != nil {
		panic(err)
	}
	return enc
}

// TryPackConsistencyHolds is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x5c92808b.  This method will return an error
// if any inputs are invalid/nil.
//
// Solidity: function consistencyHolds(uint64 first, bytes32 firstRoot, uint64 second, bytes32 secondRoot, bytes32[] proof) view returns(bool)
func (tidemarkLog *TidemarkLog) TryPackConsistencyHolds(first uint64, firstRoot [32]byte, second uint64, secondRoot [32]byte, proof [][32]byte) ([]byte, error) {
	return tidemarkLog.abi.Pack("consistencyHolds", first, firstRoot, second, secondRoot, proof)
}

// UnpackConsistencyHolds is the Go binding that unpacks the parameters returned
// from invoking the contract method with ID 0x5c92808b.
//
// Solidity: function consistencyHolds(uint64 first, bytes32 firstRoot, uint64 second, bytes32 secondRoot, bytes32[] proof) view returns(bool)
func (tidemarkLog *TidemarkLog) UnpackConsistencyHolds(data []byte) (bool, error) {
	out, err := tidemarkLog.abi.Unpack("consistencyHolds", data)
	if err != nil {
		return *new(bool), err
	}
	out0 := *abi.ConvertType(out[0], new(bool)).(*bool)
	return out0, nil
}

// PackDomainSeparator is the Go binding used to pack the parameters required for calling
// the contract method with ID 0xf698da25.  This method will panic if any
// invalid/nil inputs are passed.
//
// Solidity: function domainSeparator() view returns(bytes32)
func (tidemarkLog *TidemarkLog) PackDomainSeparator() []byte {
	enc, err := tidemarkLog.abi.Pack("domainSeparator")
	if err != nil {
		panic(err)
	}
	return enc
}

// TryPackDomainSeparator is the Go binding used to pack the parameters required for calling
// the contract method with ID 0xf698da25.  This method will return an error
// if any inputs are invalid/nil.
//
// Solidity: function domainSeparator() view returns(bytes32)
func (tidemarkLog *TidemarkLog) TryPackDomainSeparator() ([]byte, error) {
	return tidemarkLog.abi.Pack("domainSeparator")
}

// UnpackDomainSeparator is the Go binding that unpacks the parameters returned
// from invoking the contract method with ID 0xf698da25.
//
// Solidity: function domainSeparator() view returns(bytes32)
func (tidemarkLog *TidemarkLog) UnpackDomainSeparator(data []byte) ([32]byte, error) {
	out, err := tidemarkLog.abi.Unpack("domainSeparator", data)
	if err != nil {
		return *new([32]byte), err
	}
	out0 := *abi.ConvertType(out[0], new([32]byte)).(*[32]byte)
	return out0, nil
}

// PackGetLog is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x7010416e.  This method will panic if any
// invalid/nil inputs are passed.
//
// Solidity: function getLog(bytes32 id) view returns((address,uint64,uint32,bytes32,address,address))
func (tidemarkLog *TidemarkLog) PackGetLog(id [32]byte) []byte {
	enc, err := tidemarkLog.abi.Pack("getLog", id)
	if err != nil {
		panic(err)
	}
	return enc
}

// TryPackGetLog is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x7010416e.  This method will return an error
// if any inputs are invalid/nil.
//
// Solidity: function getLog(bytes32 id) view returns((address,uint64,uint32,bytes32,address,address))
func (tidemarkLog *TidemarkLog) TryPackGetLog(id [32]byte) ([]byte, error) {
	return tidemarkLog.abi.Pack("getLog", id)
}

// UnpackGetLog is the Go binding that unpacks the parameters returned
// from invoking the contract method with ID 0x7010416e.
//
// Solidity: function getLog(bytes32 id) view returns((address,uint64,uint32,bytes32,address,address))
func (tidemarkLog *TidemarkLog) UnpackGetLog(data []byte) (TidemarkLogLog, error) {
	out, err := tidemarkLog.abi.Unpack("getLog", data)
	if err != nil {
		return *new(TidemarkLogLog), err
	}
	out0 := *abi.ConvertType(out[0], new(TidemarkLogLog)).(*TidemarkLogLog)
	return out0, nil
}

// PackIdOf is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x5bb5b6fb.  This method will panic if any
// invalid/nil inputs are passed.
//
// Solidity: function idOf(bytes32 logId, address publisher, address rotator) pure returns(bytes32)
func (tidemarkLog *TidemarkLog) PackIdOf(logId [32]byte, publisher common.Address, rotator common.Address) []byte {
	enc, err := tidemarkLog.abi.Pack("idOf", logId, publisher, rotator)
	if err != nil {
		panic(err)
	}
	return enc
}

// TryPackIdOf is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x5bb5b6fb.  This method will return an error
// if any inputs are invalid/nil.
//
// Solidity: function idOf(bytes32 logId, address publisher, address rotator) pure returns(bytes32)
func (tidemarkLog *TidemarkLog) TryPackIdOf(logId [32]byte, publisher common.Address, rotator common.Address) ([]byte, error) {
	return tidemarkLog.abi.Pack("idOf", logId, publisher, rotator)
}

// UnpackIdOf is the Go binding that unpacks the parameters returned
// from invoking the contract method with ID 0x5bb5b6fb.
//
// Solidity: function idOf(bytes32 logId, address publisher, address rotator) pure returns(bytes32)
func (tidemarkLog *TidemarkLog) UnpackIdOf(data []byte) ([32]byte, error) {
	out, err := tidemarkLog.abi.Unpack("idOf", data)
	if err != nil {
		return *new([32]byte), err
	}
	out0 := *abi.ConvertType(out[0], new([32]byte)).(*[32]byte)
	return out0, nil
}

// PackInclusionHolds is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x702ab8ac.  This method will panic if any
// invalid/nil inputs are passed.
//
// Solidity: function inclusionHolds(uint64 index, uint64 size, bytes32 leafHash, bytes32 root, bytes32[] proof) view returns(bool)
func (tidemarkLog *TidemarkLog) PackInclusionHolds(index uint64, size uint64, leafHash [32]byte, root [32]byte, proof [][32]byte) []byte {
	enc, err := tidemarkLog.abi.Pack("inclusionHolds", index, size, leafHash, root, proof)
	if err != nil {
		panic(err)
	}
	return enc
}

// TryPackInclusionHolds is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x702ab8ac.  This method will return an error
// if any inputs are invalid/nil.
//
// Solidity: function inclusionHolds(uint64 index, uint64 size, bytes32 leafHash, bytes32 root, bytes32[] proof) view returns(bool)
func (tidemarkLog *TidemarkLog) TryPackInclusionHolds(index uint64, size uint64, leafHash [32]byte, root [32]byte, proof [][32]byte) ([]byte, error) {
	return tidemarkLog.abi.Pack("inclusionHolds", index, size, leafHash, root, proof)
}

// UnpackInclusionHolds is the Go binding that unpacks the parameters returned
// from invoking the contract method with ID 0x702ab8ac.
//
// Solidity: function inclusionHolds(uint64 index, uint64 size, bytes32 leafHash, bytes32 root, bytes32[] proof) view returns(bool)
func (tidemarkLog *TidemarkLog) UnpackInclusionHolds(data []byte) (bool, error) {
	out, err := tidemarkLog.abi.Unpack("inclusionHolds", data)
	if err != nil {
		return *new(bool), err
	}
	out0 := *abi.ConvertType(out[0], new(bool)).(*bool)
	return out0, nil
}

// PackOpen is the Go binding used to pack the parameters required for calling
// the contract method with ID 0xedcf081d.  This method will panic if any
// invalid/nil inputs are passed.
//
// Solidity: function open(bytes32 logId, address publisher, address rotator) returns(bytes32 id)
func (tidemarkLog *TidemarkLog) PackOpen(logId [32]byte, publisher common.Address, rotator common.Address) []byte {
	enc, err := tidemarkLog.abi.Pack("open", logId, publisher, rotator)
	if err != nil {
		panic(err)
	}
	return enc
}

// TryPackOpen is the Go binding used to pack the parameters required for calling
// the contract method with ID 0xedcf081d.  This method will return an error
// if any inputs are invalid/nil.
//
// Solidity: function open(bytes32 logId, address publisher, address rotator) returns(bytes32 id)
func (tidemarkLog *TidemarkLog) TryPackOpen(logId [32]byte, publisher common.Address, rotator common.Address) ([]byte, error) {
	return tidemarkLog.abi.Pack("open", logId, publisher, rotator)
}

// UnpackOpen is the Go binding that unpacks the parameters returned
// from invoking the contract method with ID 0xedcf081d.
//
// Solidity: function open(bytes32 logId, address publisher, address rotator) returns(bytes32 id)
func (tidemarkLog *TidemarkLog) UnpackOpen(data []byte) ([32]byte, error) {
	out, err := tidemarkLog.abi.Unpack("open", data)
	if err != nil {
		return *new([32]byte), err
	}
	out0 := *abi.ConvertType(out[0], new([32]byte)).(*[32]byte)
	return out0, nil
}

// PackProposePublisher is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x4df636c3.  This method will panic if any
// invalid/nil inputs are passed.
//
// Solidity: function proposePublisher(bytes32 id, address next) returns()
func (tidemarkLog *TidemarkLog) PackProposePublisher(id [32]byte, next common.Address) []byte {
	enc, err := tidemarkLog.abi.Pack("proposePublisher", id, next)
	if err != nil {
		panic(err)
	}
	return enc
}

// TryPackProposePublisher is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x4df636c3.  This method will return an error
// if any inputs are invalid/nil.
//
// Solidity: function proposePublisher(bytes32 id, address next) returns()
func (tidemarkLog *TidemarkLog) TryPackProposePublisher(id [32]byte, next common.Address) ([]byte, error) {
	return tidemarkLog.abi.Pack("proposePublisher", id, next)
}

// PackVerifyInclusion is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x1a66d125.  This method will panic if any
// invalid/nil inputs are passed.
//
// Solidity: function verifyInclusion(bytes32 id, uint64 index, bytes32 leafHash, bytes32[] proof) view returns(bool)
func (tidemarkLog *TidemarkLog) PackVerifyInclusion(id [32]byte, index uint64, leafHash [32]byte, proof [][32]byte) []byte {
	enc, err := tidemarkLog.abi.Pack("verifyInclusion", id, index, leafHash, proof)
	if err != nil {
		panic(err)
	}
	return enc
}

// TryPackVerifyInclusion is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x1a66d125.  This method will return an error
// if any inputs are invalid/nil.
//
// Solidity: function verifyInclusion(bytes32 id, uint64 index, bytes32 leafHash, bytes32[] proof) view returns(bool)
func (tidemarkLog *TidemarkLog) TryPackVerifyInclusion(id [32]byte, index uint64, leafHash [32]byte, proof [][32]byte) ([]byte, error) {
	return tidemarkLog.abi.Pack("verifyInclusion", id, index, leafHash, proof)
}

// UnpackVerifyInclusion is the Go binding that unpacks the parameters returned
// from invoking the contract method with ID 0x1a66d125.
//
// Solidity: function verifyInclusion(bytes32 id, uint64 index, bytes32 leafHash, bytes32[] proof) view returns(bool)
func (tidemarkLog *TidemarkLog) UnpackVerifyInclusion(data []byte) (bool, error) {
	out, err := tidemarkLog.abi.Unpack("verifyInclusion", data)
	if err != nil {
		return *new(bool), err
	}
	out0 := *abi.ConvertType(out[0], new(bool)).(*bool)
	return out0, nil
}

// PackVerifyRow is the Go binding used to pack the parameters required for calling
// the contract method with ID 0xcd7bda57.  This method will panic if any
// invalid/nil inputs are passed.
//
// Solidity: function verifyRow(bytes32 id, bytes header, bytes32[] headerProof, uint64 pos, bytes32 rowHash, bytes32[] rowProof) view returns(bool)
func (tidemarkLog *TidemarkLog) PackVerifyRow(id [32]byte, header []byte, headerProof [][32]byte, pos uint64, rowHash [32]byte, rowProof [][32]byte) []byte {
	enc, err := tidemarkLog.abi.Pack("verifyRow", id, header, headerProof, pos, rowHash, rowProof)
	if err != nil {
		panic(err)
	}
	return enc
}

// TryPackVerifyRow is the Go binding used to pack the parameters required for calling
// the contract method with ID 0xcd7bda57.  This method will return an error
// if any inputs are invalid/nil.
//
// Solidity: function verifyRow(bytes32 id, bytes header, bytes32[] headerProof, uint64 pos, bytes32 rowHash, bytes32[] rowProof) view returns(bool)
func (tidemarkLog *TidemarkLog) TryPackVerifyRow(id [32]byte, header []byte, headerProof [][32]byte, pos uint64, rowHash [32]byte, rowProof [][32]byte) ([]byte, error) {
	return tidemarkLog.abi.Pack("verifyRow", id, header, headerProof, pos, rowHash, rowProof)
}

// UnpackVerifyRow is the Go binding that unpacks the parameters returned
// from invoking the contract method with ID 0xcd7bda57.
//
// Solidity: function verifyRow(bytes32 id, bytes header, bytes32[] headerProof, uint64 pos, bytes32 rowHash, bytes32[] rowProof) view returns(bool)
func (tidemarkLog *TidemarkLog) UnpackVerifyRow(data []byte) (bool, error) {
	out, err := tidemarkLog.abi.Unpack("verifyRow", data)
	if err != nil {
		return *new(bool), err
	}
	out0 := *abi.ConvertType(out[0], new(bool)).(*bool)
	return out0, nil
}

// TidemarkLogAnchored represents a Anchored event raised by the TidemarkLog contract.
type TidemarkLogAnchored struct {
	Id       [32]byte
	Size     uint64
	Root     [32]byte
	Seq      uint32
	PrevSize uint64
	Raw      *types.Log // Blockchain specific contextual infos
}

const TidemarkLogAnchoredEventName = "Anchored"

// ContractEventName returns the user-defined event name.
func (TidemarkLogAnchored) ContractEventName() string {
	return TidemarkLogAnchoredEventName
}

// UnpackAnchoredEvent is the Go binding that unpacks the event data emitted
// by contract.
//
// Solidity: event Anchored(bytes32 indexed id, uint64 indexed size, bytes32 root, uint32 seq, uint64 prevSize)
func (tidemarkLog *TidemarkLog) UnpackAnchoredEvent(log *types.Log) (*TidemarkLogAnchored, error) {
	event := "Anchored"
	if len(log.Topics) == 0 {
		return nil, bind.ErrNoEventSignature
	}
	if log.Topics[0] != tidemarkLog.abi.Events[event].ID {
		return nil, bind.ErrEventSignatureMismatch
	}
	out := new(TidemarkLogAnchored)
	if len(log.Data) > 0 {
		if err := tidemarkLog.abi.UnpackIntoInterface(out, event, log.Data); err != nil {
			return nil, err
		}
	}
	var indexed abi.Arguments
	for _, arg := range tidemarkLog.abi.Events[event].Inputs {
		if arg.Indexed {
			indexed = append(indexed, arg)
		}
	}
	if err := abi.ParseTopics(out, indexed, log.Topics[1:]); err != nil {
		return nil, err
	}
	out.Raw = log
	return out, nil
}

// TidemarkLogOpened represents a Opened event raised by the TidemarkLog contract.
type TidemarkLogOpened struct {
	Id        [32]byte
	LogId     [32]byte
	Publisher common.Address
	Rotator   common.Address
	Raw       *types.Log // Blockchain specific contextual infos
}

const TidemarkLogOpenedEventName = "Opened"

// ContractEventName returns the user-defined event name.
func (TidemarkLogOpened) ContractEventName() string {
	return TidemarkLogOpenedEventName
}

// UnpackOpenedEvent is the Go binding that unpacks the event data emitted
// by contract.
//
// Solidity: event Opened(bytes32 indexed id, bytes32 indexed logId, address publisher, address rotator)
func (tidemarkLog *TidemarkLog) UnpackOpenedEvent(log *types.Log) (*TidemarkLogOpened, error) {
	event := "Opened"
	if len(log.Topics) == 0 {
		return nil, bind.ErrNoEventSignature
	}
	if log.Topics[0] != tidemarkLog.abi.Events[event].ID {
		return nil, bind.ErrEventSignatureMismatch
	}
	out := new(TidemarkLogOpened)
	if len(log.Data) > 0 {
		if err := tidemarkLog.abi.UnpackIntoInterface(out, event, log.Data); err != nil {
			return nil, err
		}
	}
	var indexed abi.Arguments
	for _, arg := range tidemarkLog.abi.Events[event].Inputs {
		if arg.Indexed {
			indexed = append(indexed, arg)
		}
	}
	if err := abi.ParseTopics(out, indexed, log.Topics[1:]); err != nil {
		return nil, err
	}
	out.Raw = log
	return out, nil
}

// TidemarkLogPublisherChanged represents a PublisherChanged event raised by the TidemarkLog contract.
type TidemarkLogPublisherChanged struct {
	Id       [32]byte
	Previous common.Address
	Next     common.Address
	Raw      *types.Log // Blockchain specific contextual infos
}

const TidemarkLogPublisherChangedEventName = "PublisherChanged"

// ContractEventName returns the user-defined event name.
func (TidemarkLogPublisherChanged) ContractEventName() string {
	return TidemarkLogPublisherChangedEventName
}

// UnpackPublisherChangedEvent is the Go binding that unpacks the event data emitted
// by contract.
//
// Solidity: event PublisherChanged(bytes32 indexed id, address indexed previous, address indexed next)
func (tidemarkLog *TidemarkLog) UnpackPublisherChangedEvent(log *types.Log) (*TidemarkLogPublisherChanged, error) {
	event := "PublisherChanged"
	if len(log.Topics) == 0 {
		return nil, bind.ErrNoEventSignature
	}
	if log.Topics[0] != tidemarkLog.abi.Events[event].ID {
		return nil, bind.ErrEventSignatureMismatch
	}
	out := new(TidemarkLogPublisherChanged)
	if len(log.Data) > 0 {
		if err := tidemarkLog.abi.UnpackIntoInterface(out, event, log.Data); err != nil {
			return nil, err
		}
	}
	var indexed abi.Arguments
	for _, arg := range tidemarkLog.abi.Events[event].Inputs {
		if arg.Indexed {
			indexed = append(indexed, arg)
		}
	}
	if err := abi.ParseTopics(out, indexed, log.Topics[1:]); err != nil {
		return nil, err
	}
	out.Raw = log
	return out, nil
}

// TidemarkLogPublisherProposed represents a PublisherProposed event raised by the TidemarkLog contract.
type TidemarkLogPublisherProposed struct {
	Id   [32]byte
	Next common.Address
	Raw  *types.Log // Blockchain specific contextual infos
}

const TidemarkLogPublisherProposedEventName = "PublisherProposed"

// ContractEventName returns the user-defined event name.
func (TidemarkLogPublisherProposed) ContractEventName() string {
	return TidemarkLogPublisherProposedEventName
}

// UnpackPublisherProposedEvent is the Go binding that unpacks the event data emitted
// by contract.
//
// Solidity: event PublisherProposed(bytes32 indexed id, address indexed next)
func (tidemarkLog *TidemarkLog) UnpackPublisherProposedEvent(log *types.Log) (*TidemarkLogPublisherProposed, error) {
	event := "PublisherProposed"
	if len(log.Topics) == 0 {
		return nil, bind.ErrNoEventSignature
	}
	if log.Topics[0] != tidemarkLog.abi.Events[event].ID {
		return nil, bind.ErrEventSignatureMismatch
	}
	out := new(TidemarkLogPublisherProposed)
	if len(log.Data) > 0 {
		if err := tidemarkLog.abi.UnpackIntoInterface(out, event, log.Data); err != nil {
			return nil, err
		}
	}
	var indexed abi.Arguments
	for _, arg := range tidemarkLog.abi.Events[event].Inputs {
		if arg.Indexed {
			indexed = append(indexed, arg)
		}
	}
	if err := abi.ParseTopics(out, indexed, log.Topics[1:]); err != nil {
		return nil, err
	}
	out.Raw = log
	return out, nil
}

// UnpackError attempts to decode the provided error data using user-defined
// error definitions.
func (tidemarkLog *TidemarkLog) UnpackError(raw []byte) (any, error) {
	if bytes.Equal(raw[:4], tidemarkLog.abi.Errors["AlreadyOpen"].ID.Bytes()[:4]) {
		return tidemarkLog.UnpackAlreadyOpenError(raw[4:])
	}
	if bytes.Equal(raw[:4], tidemarkLog.abi.Errors["InconsistentCheckpoint"].ID.Bytes()[:4]) {
		return tidemarkLog.UnpackInconsistentCheckpointError(raw[4:])
	}
	if bytes.Equal(raw[:4], tidemarkLog.abi.Errors["MalformedSignature"].ID.Bytes()[:4]) {
		return tidemarkLog.UnpackMalformedSignatureError(raw[4:])
	}
	if bytes.Equal(raw[:4], tidemarkLog.abi.Errors["NotProposed"].ID.Bytes()[:4]) {
		return tidemarkLog.UnpackNotProposedError(raw[4:])
	}
	if bytes.Equal(raw[:4], tidemarkLog.abi.Errors["NotPublisher"].ID.Bytes()[:4]) {
		return tidemarkLog.UnpackNotPublisherError(raw[4:])
	}
	if bytes.Equal(raw[:4], tidemarkLog.abi.Errors["NotRotator"].ID.Bytes()[:4]) {
		return tidemarkLog.UnpackNotRotatorError(raw[4:])
	}
	if bytes.Equal(raw[:4], tidemarkLog.abi.Errors["PublisherIsZero"].ID.Bytes()[:4]) {
		return tidemarkLog.UnpackPublisherIsZeroError(raw[4:])
	}
	if bytes.Equal(raw[:4], tidemarkLog.abi.Errors["SignatureExpired"].ID.Bytes()[:4]) {
		return tidemarkLog.UnpackSignatureExpiredError(raw[4:])
	}
	if bytes.Equal(raw[:4], tidemarkLog.abi.Errors["SizeNotGrowing"].ID.Bytes()[:4]) {
		return tidemarkLog.UnpackSizeNotGrowingError(raw[4:])
	}
	return nil, errors.New("Unknown error")
}

// TidemarkLogAlreadyOpen represents a AlreadyOpen error raised by the TidemarkLog contract.
type TidemarkLogAlreadyOpen struct {
	Id [32]byte
}

// ErrorID returns the hash of canonical representation of the error's signature.
//
// Solidity: error AlreadyOpen(bytes32 id)
func TidemarkLogAlreadyOpenErrorID() common.Hash {
	return common.HexToHash("0x869d90106ffc2664b97ace112e0c93a084218014437b846d9d3b88813cc36c03")
}

// UnpackAlreadyOpenError is the Go binding used to decode the provided
// error data into the corresponding Go error struct.
//
// Solidity: error AlreadyOpen(bytes32 id)
func (tidemarkLog *TidemarkLog) UnpackAlreadyOpenError(raw []byte) (*TidemarkLogAlreadyOpen, error) {
	out := new(TidemarkLogAlreadyOpen)
	if err := tidemarkLog.abi.UnpackIntoInterface(out, "AlreadyOpen", raw); err != nil {
		return nil, err
	}
	return out, nil
}

// TidemarkLogInconsistentCheckpoint represents a InconsistentCheckpoint error raised by the TidemarkLog contract.
type TidemarkLogInconsistentCheckpoint struct {
	Id      [32]byte
	Current uint64
	Size    uint64
}

// ErrorID returns the hash of canonical representation of the error's signature.
//
// Solidity: error InconsistentCheckpoint(bytes32 id, uint64 current, uint64 size)
func TidemarkLogInconsistentCheckpointErrorID() common.Hash {
	return common.HexToHash("0x6abc336082f67b988747253c237fdddcbd384c6d9d0b8296f3e6c4b99875d894")
}

// UnpackInconsistentCheckpointError is the Go binding used to decode the provided
// error data into the corresponding Go error struct.
//
// Solidity: error InconsistentCheckpoint(bytes32 id, uint64 current, uint64 size)
func (tidemarkLog *TidemarkLog) UnpackInconsistentCheckpointError(raw []byte) (*TidemarkLogInconsistentCheckpoint, error) {
	out := new(TidemarkLogInconsistentCheckpoint)
	if err := tidemarkLog.abi.UnpackIntoInterface(out, "InconsistentCheckpoint", raw); err != nil {
		return nil, err
	}
	return out, nil
}

// TidemarkLogMalformedSignature represents a MalformedSignature error raised by the TidemarkLog contract.
type TidemarkLogMalformedSignature struct {
}

// ErrorID returns the hash of canonical representation of the error's signature.
//
// Solidity: error MalformedSignature()
func TidemarkLogMalformedSignatureErrorID() common.Hash {
	return common.HexToHash("0x55a1e16eadce29d71cb136c0493e3881b154dc5303ad068a5a1e01023482b7e2")
}

// UnpackMalformedSignatureError is the Go binding used to decode the provided
// error data into the corresponding Go error struct.
//
// Solidity: error MalformedSignature()
func (tidemarkLog *TidemarkLog) UnpackMalformedSignatureError(raw []byte) (*TidemarkLogMalformedSignature, error) {
	out := new(TidemarkLogMalformedSignature)
	if err := tidemarkLog.abi.UnpackIntoInterface(out, "MalformedSignature", raw); err != nil {
		return nil, err
	}
	return out, nil
}

// TidemarkLogNotProposed represents a NotProposed error raised by the TidemarkLog contract.
type TidemarkLogNotProposed struct {
	Id       [32]byte
	Caller   common.Address
	Proposed common.Address
}

// ErrorID returns the hash of canonical representation of the error's signature.
//
// Solidity: error NotProposed(bytes32 id, address caller, address proposed)
func TidemarkLogNotProposedErrorID() common.Hash {
	return common.HexToHash("0xc5cefb0a793e26ce7e7b885e70cb8b79f871df24b32205cbf7d8720ae5fd15d6")
}

// UnpackNotProposedError is the Go binding used to decode the provided
// error data into the corresponding Go error struct.
//
// Solidity: error NotProposed(bytes32 id, address caller, address proposed)
func (tidemarkLog *TidemarkLog) UnpackNotProposedError(raw []byte) (*TidemarkLogNotProposed, error) {
	out := new(TidemarkLogNotProposed)
	if err := tidemarkLog.abi.UnpackIntoInterface(out, "NotProposed", raw); err != nil {
		return nil, err
	}
	return out, nil
}

// TidemarkLogNotPublisher represents a NotPublisher error raised by the TidemarkLog contract.
type TidemarkLogNotPublisher struct {
	Id        [32]byte
	Caller    common.Address
	Publisher common.Address
}

// ErrorID returns the hash of canonical representation of the error's signature.
//
// Solidity: error NotPublisher(bytes32 id, address caller, address publisher)
func TidemarkLogNotPublisherErrorID() common.Hash {
	return common.HexToHash("0x47cb65310929c5561c2156f27e358c6ba7de48031c530d9c7ba00c88ca604b72")
}

// UnpackNotPublisherError is the Go binding used to decode the provided
// error data into the corresponding Go error struct.
//
// Solidity: error NotPublisher(bytes32 id, address caller, address publisher)
func (tidemarkLog *TidemarkLog) UnpackNotPublisherError(raw []byte) (*TidemarkLogNotPublisher, error) {
	out := new(TidemarkLogNotPublisher)
	if err := tidemarkLog.abi.UnpackIntoInterface(out, "NotPublisher", raw); err != nil {
		return nil, err
	}
	return out, nil
}

// TidemarkLogNotRotator represents a NotRotator error raised by the TidemarkLog contract.
type TidemarkLogNotRotator struct {
	Id      [32]byte
	Caller  common.Address
	Rotator common.Address
}

// ErrorID returns the hash of canonical representation of the error's signature.
//
// Solidity: error NotRotator(bytes32 id, address caller, address rotator)
func TidemarkLogNotRotatorErrorID() common.Hash {
	return common.HexToHash("0x1df198efa7b4249a16d1a78a8a6fa8ee359f7c07d8e64d5c95bb4cd1f16b1f56")
}

// UnpackNotRotatorError is the Go binding used to decode the provided
// error data into the corresponding Go error struct.
//
// Solidity: error NotRotator(bytes32 id, address caller, address rotator)
func (tidemarkLog *TidemarkLog) UnpackNotRotatorError(raw []byte) (*TidemarkLogNotRotator, error) {
	out := new(TidemarkLogNotRotator)
	if err := tidemarkLog.abi.UnpackIntoInterface(out, "NotRotator", raw); err != nil {
		return nil, err
	}
	return out, nil
}

// TidemarkLogPublisherIsZero represents a PublisherIsZero error raised by the TidemarkLog contract.
type TidemarkLogPublisherIsZero struct {
}

// ErrorID returns the hash of canonical representation of the error's signature.
//
// Solidity: error PublisherIsZero()
func TidemarkLogPublisherIsZeroErrorID() common.Hash {
	return common.HexToHash("0x15fff559dab6b43f18d30ab7163cdc20ac5861f6ac033ccddd405e5eb8fa627b")
}

// UnpackPublisherIsZeroError is the Go binding used to decode the provided
// error data into the corresponding Go error struct.
//
// Solidity: error PublisherIsZero()
func (tidemarkLog *TidemarkLog) UnpackPublisherIsZeroError(raw []byte) (*TidemarkLogPublisherIsZero, error) {
	out := new(TidemarkLogPublisherIsZero)
	if err := tidemarkLog.abi.UnpackIntoInterface(out, "PublisherIsZero", raw); err != nil {
		return nil, err
	}
	return out, nil
}

// TidemarkLogSignatureExpired represents a SignatureExpired error raised by the TidemarkLog contract.
type TidemarkLogSignatureExpired struct {
	Deadline *big.Int
}

// ErrorID returns the hash of canonical representation of the error's signature.
//
// Solidity: error SignatureExpired(uint256 deadline)
func TidemarkLogSignatureExpiredErrorID() common.Hash {
	return common.HexToHash("0xcd21db4f5222c209a625f44a7faa4c7077b21128ed96c96bd5c3a0f7bcc95d38")
}

// UnpackSignatureExpiredError is the Go binding used to decode the provided
// error data into the corresponding Go error struct.
//
// Solidity: error SignatureExpired(uint256 deadline)
func (tidemarkLog *TidemarkLog) UnpackSignatureExpiredError(raw []byte) (*TidemarkLogSignatureExpired, error) {
	out := new(TidemarkLogSignatureExpired)
	if err := tidemarkLog.abi.UnpackIntoInterface(out, "SignatureExpired", raw); err != nil {
		return nil, err
	}
	return out, nil
}

// TidemarkLogSizeNotGrowing represents a SizeNotGrowing error raised by the TidemarkLog contract.
type TidemarkLogSizeNotGrowing struct {
	Id      [32]byte
	Current uint64
	Size    uint64
}

// ErrorID returns the hash of canonical representation of the error's signature.
//
// Solidity: error SizeNotGrowing(bytes32 id, uint64 current, uint64 size)
func TidemarkLogSizeNotGrowingErrorID() common.Hash {
	return common.HexToHash("0x719ef680826e40ef981a729d0a3fae961a046c4220c59416913c0e3b859c98d9")
}

// UnpackSizeNotGrowingError is the Go binding used to decode the provided
// error data into the corresponding Go error struct.
//
// Solidity: error SizeNotGrowing(bytes32 id, uint64 current, uint64 size)
func (tidemarkLog *TidemarkLog) UnpackSizeNotGrowingError(raw []byte) (*TidemarkLogSizeNotGrowing, error) {
	out := new(TidemarkLogSizeNotGrowing)
	if err := tidemarkLog.abi.UnpackIntoInterface(out, "SizeNotGrowing", raw); err != nil {
		return nil, err
	}
	return out, nil
}
